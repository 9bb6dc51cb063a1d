// The two structs a caller fills in: one says how to load a model, the other how to sample.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/types.h"

namespace llamad {

// A low-rank change of a model's weights, from a GGUF file of its own.
struct LoraAdapter {
    std::string path;
    float scale = 1; // 0: without effect
};

// How to load a model and how many requests to run at once.
struct EngineConfig {
    std::string model_path;           // GGUF file; of a split model, its first part
    std::int32_t n_parallel = 4;      // slots, that is requests that run at once
    std::int32_t n_ctx = 2048;        // tokens per slot; 0: the model's training context
    bool kv_unified = false;          // one KV cache of n_ctx tokens for all slots, instead of one for each
    bool swa_full = true;             // keep what has left a sliding window: only then can it be shared
    std::int32_t n_batch = 2048;      // most tokens in one llama_decode call
    std::int32_t n_ubatch = 512;      // most tokens computed at once
    std::int32_t itl_target_ms = 90;  // time between two streamed tokens while prompts are computed
    std::int32_t n_threads = 0;       // compute threads for generation; 0: the machine's cores
    std::int32_t n_threads_batch = 0; // compute threads for prompts; 0: n_threads
    // Layers on GPUs, the output layer among them; -1: all; 0: no GPU is used; none: as many as fit.
    std::optional<std::int32_t> n_gpu_layers;
    std::string split_mode = "layer"; // how several GPUs share a model: none, layer, row, tensor
    std::vector<float> tensor_split;  // each GPU's share of the model; empty: by free memory
    std::int32_t main_gpu = 0;        // the GPU used where split_mode is none
    bool use_mmap = true;             // map the file instead of reading it
    std::string flash_attn = "auto";  // auto, on, off
    std::string cache_type_k = "f16"; // a ggml type that the K cache may have
    std::string cache_type_v = "f16"; // a ggml type that the V cache may have
    // Whether the likeliest tokens are found on the device that computes the logits, instead of copying
    // these: on, off, or auto: where that is a GPU.
    std::string backend_sampling = "auto";
    // Whether idle slots add rows to batches of next tokens, so that these keep their shape and llama.cpp its
    // graph: on, off, or auto: where all layers are on GPUs and rows cost little.
    std::string decode_padding = "auto";
    std::string rope_scaling;       // none, linear, yarn; empty: the model's own
    float rope_scale = 0;           // context extended by this factor; 0: not
    float rope_freq_base = 0;       // 0: the model's own
    float rope_freq_scale = 0;      // 1 / rope_scale, and like it; 0: the model's own
    std::int32_t yarn_orig_ctx = 0; // context that the model was trained for; 0: the model's own
    float yarn_ext_factor = -1;     // these four: negative: the model's own
    float yarn_attn_factor = -1;
    float yarn_beta_fast = -1;
    float yarn_beta_slow = -1;
    std::vector<LoraAdapter> lora_adapters; // added up; all requests are answered with all of them
    std::string chat_template;              // Jinja source; empty: the model's own
    std::int32_t max_queue = 256;           // requests that may wait beyond the slots
    float queue_timeout_s = 0;              // longest wait for a slot; 0: none
    float request_timeout_s = 0;            // longest time from submission to the end; 0: none
    std::int32_t prefix_cache_mib =
        -1; // host memory for KV states that left their slots; -1: a quarter of what is free, at most 8 GiB
    std::string prefix_cache_dir; // where they are kept for the next process; empty: nowhere

    // Throws ParameterError naming the field and its value.
    void validate() const;

  private:
    void validate_devices() const;
    void validate_rope() const;
    void validate_adapters() const;
};

// Something that a model says.
struct Trigger {
    enum class Kind : std::uint8_t { kWord, kPattern };
    Kind kind = Kind::kWord;
    std::string text; // of kPattern: ECMAScript; its first group, or all of it, is the beginning
};

// A part of the output in which nothing triggers.
struct Thinking {
    std::string start;             // empty: the model does not think
    std::vector<std::string> ends; // any of these
    bool open = false;             // the prompt has begun it
};

// What a chat template asks of sampling besides what the caller does.
struct TemplateSampling {
    std::vector<Trigger> triggers; // not empty: the grammar holds only from where one of these is said
    Thinking thinking;             // what is said in there triggers nothing
    std::string grammar_prefix;    // what of the grammar the prompt says already
    std::vector<TokenId> shown;    // control tokens that are part of the output's text
};

// How the next token is chosen. Names and defaults are llama.cpp's (common_params_sampling), so that
// a model card's advice can be pasted.
struct SamplingParams {
    std::optional<std::int32_t> max_tokens; // none: until the context is full
    std::int32_t min_tokens = 0;            // no end-of-generation token before so many
    float temperature = 0.8F;               // 0: greedy
    std::int32_t top_k = 40;                // 0 or -1: off
    float top_p = 0.95F;                    // 1: off
    float min_p = 0.05F;                    // 0: off
    float typical_p = 1.0F;                 // 1: off
    float repeat_penalty = 1.0F;            // 1: off
    std::int32_t repeat_last_n = 64;        // tokens the penalties look back at; -1: the context
    float frequency_penalty = 0.0F;         // 0: off
    float presence_penalty = 0.0F;          // 0: off
    float dry_multiplier = 0.0F;            // 0: off
    float dry_base = 1.75F;
    std::int32_t dry_allowed_length = 2;
    std::int32_t dry_penalty_last_n = 64; // tokens DRY scans; -1: the context
    std::vector<std::string> dry_sequence_breakers{"\n", ":", "\"", "*"};
    float xtc_probability = 0.0F; // 0: off
    float xtc_threshold = 0.1F;   // > 0.5: off
    std::int32_t mirostat = 0;    // 0: off, else version 1 or 2
    float mirostat_tau = 5.0F;
    float mirostat_eta = 0.1F;
    std::vector<std::pair<TokenId, float>> logit_bias; // added to the logit; -inf forbids the token
    std::optional<std::int64_t> seed;                  // none or -1: a new one each time
    std::string grammar;                               // GBNF; empty: none
    std::vector<std::string> stop;                     // never part of the output
    bool ignore_eos = false;                           // never end on an end-of-generation token
    std::optional<std::int32_t> logprobs; // report the taken token's and so many likeliest ones'; none: off
    // The same for the tokens of the prompt, which are computed then, cached or not; with it max_tokens may
    // be 0.
    std::optional<std::int32_t> prompt_logprobs;
    std::int32_t prompt_logprobs_start =
        0;                        // only from this token of the prompt on; what is before may be cached
    TemplateSampling of_template; // set by prepare_chat(), never by a caller

    // Throws ParameterError naming the field and its value.
    void validate() const;

    // Whether the likeliest token is always taken and nothing but a list of forbidden tokens can
    // change which one that is: then one pass over the logits is exact.
    bool is_plain_greedy() const;
};

// How a request is treated beside others.
struct RequestOptions {
    bool stream = false;       // deliver text as it comes, not only with the end
    std::int32_t n = 1;        // completions of the same prompt, which is computed once
    std::int32_t priority = 0; // lower is served first
    std::string client;        // requests of different clients share the slots evenly
    std::string cache_salt;    // prefixes are shared between requests of one salt only
    float timeout_s = 0;       // from submission to the end; 0: none

    // Throws ParameterError naming the field and its value.
    void validate() const;
};

inline constexpr std::int32_t kMaxChoices = 128; // OpenAI's
inline constexpr std::size_t kMaxStopStrings = 64;
// llama.cpp goes through the whole vocabulary for each.
inline constexpr std::size_t kMaxDryBreakers = 16;
inline constexpr std::size_t kMaxAdapters = 32;
inline constexpr std::int32_t kMaxParallel = 256; // llama.cpp's LLAMA_MAX_SEQ

} // namespace llamad
