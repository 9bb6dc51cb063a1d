// A loaded model: weights and vocabulary, immutable once loaded.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/params.h"
#include "core/types.h"
#include "llama/devices.h"
#include "llama/lora_adapter.h"
#include "llama/model_loading.h"
#include "llama/model_metadata.h"

// Declared instead of included: who uses a model need not see llama.cpp.
struct llama_vocab;

namespace llamad {

// What a model says of itself.
struct ModelInfo {
    std::string architecture; // general.architecture: llama, qwen3, ...
    std::string description;  // "llama 135M Q4_1", say
    std::uint64_t n_params = 0;
    std::uint64_t size_bytes = 0; // of the tensors
    std::int32_t n_vocab = 0;
    std::int32_t n_ctx = 0;       // tokens per slot
    std::int32_t n_ctx_train = 0; // tokens the model was trained for
    std::int32_t n_parallel = 0;
    bool has_chat_template = false;
    bool has_tools_template = false; // the chat template knows tools
    bool thinks = false;             // the chat template has a part for reasoning
    bool can_infill = false;         // there are tokens for filling in the middle
    std::string quantization;        // "Q4_1"
    std::string vocab_type;          // spm, bpe, wpm, ugm, rwkv, plamo2
    std::string bos_token;           // its text; empty: none
    std::string eos_token;
    std::vector<MemoryUse> memory; // of each device that the model uses, once it has a context; "CPU" first

    std::vector<std::string> devices() const; // that have layers: "CPU", "CUDA0", ...
};

// Where a model's layers are, with the output layer as the last of them.
struct LayerPlacement {
    std::int32_t n_layers = 0;
    std::int32_t n_on_gpus = 0;
    bool output_on_gpu = false;
};

// Owns a llama_model. Everything const may be called from any thread.
class LlamaModel {
  public:
    // Called with the loaded fraction, 0 to 1; returning false gives up.
    using Progress = LoadProgress;

    // Blocks while the weights are read. Throws ModelError.
    LlamaModel(const EngineConfig &config, const Progress &progress);

    // The same without weights: contexts can be made of it, which say how much memory they would take, but
    // nothing can be computed, and there is no text for a token. Takes tens of milliseconds.
    static LlamaModel without_weights(const EngineConfig &config);

    // Throws ModelLoadError where the model is made for something else than generating text.
    void require_text_generation() const;

    // What its file says it is made for, and how it pools.
    ModelKind kind() const;
    Pooling pooling() const;

    llama_model *get() const { return model_.get(); }
    const llama_vocab *vocab() const { return vocab_; }
    ModelInfo info() const;
    LayerPlacement placement() const;
    // Of each layer, the device that computes it; of the output layer last.
    const std::vector<ggml_backend_device *> &layer_devices() const { return layer_devices_; }
    const std::vector<LoadedAdapter> &adapters() const { return adapters_; }
    std::int32_t n_vocab() const { return static_cast<std::int32_t>(piece_ends_.size()); }

    // `parse_special`: text such as "<|im_end|>" becomes the token it names.
    std::vector<TokenId> tokenize(std::string_view text, bool add_special, bool parse_special) const;

    // Valid UTF-8. `special`: control tokens are written out. Throws ParameterError for an id that is
    // not in the vocabulary.
    std::string detokenize(std::span<const TokenId> tokens, bool special) const;

    // The token's bytes, control tokens written out. Throws ParameterError as detokenize() does.
    std::string written_out(TokenId token) const;

    // The control tokens among these words.
    std::vector<TokenId> control_tokens(const std::vector<std::string> &words) const;

    // Text to be filled in between two others, as the model was trained for it. Throws ParameterError where
    // it was not.
    std::vector<TokenId> infill_prompt(std::string_view prefix, std::string_view suffix) const;

    // The token's bytes without control tokens; requires 0 <= token < n_vocab().
    std::string_view token_bytes(TokenId token) const;

    // Bytes of the longest token: a text of more than n times as many has more than n tokens.
    std::size_t longest_token() const { return longest_token_; }

    bool is_end_of_generation(TokenId token) const;

    // Every token that ends a generation.
    const std::vector<TokenId> &end_of_generation_tokens() const { return eog_tokens_; }

    // Tokens that the model's file forbids (tokenizer.ggml.suppress_tokens).
    std::vector<TokenId> suppressed_tokens() const;

  private:
    LlamaModel(const EngineConfig &config, const Progress &progress, ModelWeights weights);

    void index_vocabulary();
    void require_token(TokenId token) const;
    bool can_infill() const;
    std::string piece(TokenId token, bool special) const;

    ModelPtr model_;
    const llama_vocab *vocab_ = nullptr;
    std::vector<LoadedAdapter> adapters_;
    std::string path_;
    std::vector<ggml_backend_device *> layer_devices_;
    std::string pieces_; // the bytes of all tokens in one run: looked up for every generated token
    std::vector<std::uint32_t> piece_ends_;
    std::size_t longest_token_ = 1;
    std::vector<TokenId> eog_tokens_;
};

} // namespace llamad
