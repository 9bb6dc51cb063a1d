// What a model's file says of the model, without loading it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "embed/embedding_runner.h"

namespace llamad {

// What a model is made for.
enum class ModelKind : std::uint8_t {
    kGenerate, // text
    kEmbed,    // vectors
    kRerank,   // scores of documents for a query
};

const char *name_of(ModelKind kind);  // "generate", "embed", "rerank"
const char *name_of(Pooling pooling); // "none", "mean", "cls", "last", "rank"

struct ModelMetadata {
    std::string architecture; // general.architecture: llama, qwen3, ...
    std::string name;         // general.name; empty where there is none
    std::uint64_t n_params = 0;
    std::string quantization;     // "Q4_1", "F16"
    std::int32_t n_ctx_train = 0; // tokens
    std::int32_t n_embd = 0;      // floats of a hidden state, and of an embedding
    Pooling pooling = Pooling::kNone;
    ModelKind kind = ModelKind::kGenerate;
    bool has_chat_template = false;
};

// Reads the headers of the model's files, no tensor data. Throws ModelNotFoundError or InvalidModelError.
ModelMetadata read_metadata(const std::string &path);

// What a file with this architecture and this pooling is made for: the pooling says it, and encoders can
// nothing else. Those without a pooling are for embeddings by the mean.
ModelKind kind_of(std::string_view architecture, Pooling pooling);

// llama.cpp's number of a pooling; kNone where it knows no such number.
Pooling pooling_of(std::int64_t number);

// The customary short name of a llama_ftype: "Q4_K_M".
std::string quantization_name(std::int64_t ftype);

} // namespace llamad
