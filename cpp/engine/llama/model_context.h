// The llama_context that a model computes in: how large it is, and how it is made.
#pragma once

#include <cstdint>
#include <memory>

#include "core/params.h"
#include "embed/embedder_config.h"
#include "embed/embedding_runner.h"
#include "llama/backend_shortlist.h"
#include "llama/llama_model.h"

struct llama_context;

namespace llamad {

struct ContextDeleter {
    void operator()(llama_context *context) const;
};
using ContextPtr = std::unique_ptr<llama_context, ContextDeleter>;

struct GenerationContext {
    std::unique_ptr<BackendShortlist> shortlist; // not yet allocated; null: all logits are copied
    ContextPtr context;
    std::int32_t n_ctx; // tokens per slot, as asked for: llama.cpp rounds its streams up to multiples of 256
    std::int32_t n_outputs; // most rows of logits in one llama_decode
    std::int32_t n_threads;
};

// Allocates the KV cache and the compute buffers. Throws ParameterError or ModelLoadError.
GenerationContext generation_context(const LlamaModel &model, const EngineConfig &config);

struct EmbeddingContext {
    ContextPtr context;
    EmbeddingLimits limits;
};

// Models that see the whole input at once (encoders, mostly) have to compute it in one go: llama.cpp's
// physical batch is then as large as the longest input. Throws ModelLoadError.
EmbeddingContext embedding_context(const LlamaModel &model, const EmbedderConfig &config);

} // namespace llamad
