// How to load a model that computes embeddings or scores.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/params.h"

namespace llamad {

// Fields mean what those of the same name in EngineConfig mean, except where a comment says otherwise.
struct EmbedderConfig {
    std::string model_path;
    std::int32_t n_ctx = 8192;   // most tokens of an input, where the model was trained for more; 0: no limit
    std::int32_t n_ubatch = 512; // most tokens of several inputs that are computed at once
    std::int32_t n_threads = 0;
    std::optional<std::int32_t> n_gpu_layers;
    std::string split_mode = "layer";
    std::vector<float> tensor_split;
    std::int32_t main_gpu = 0;
    bool use_mmap = true;
    std::string flash_attn = "auto";
    std::int32_t max_queue = 256; // requests that may run and wait; at least 1
    float request_timeout_s = 0;

    // What loading the model, and checking the fields, needs of this.
    EngineConfig engine_config() const;

    // Throws ParameterError naming the field and its value.
    void validate() const;
};

} // namespace llamad
