#include "embed/embedder_config.h"

#include "core/errors.h"

namespace llamad {

EngineConfig EmbedderConfig::engine_config() const {
    EngineConfig config;
    config.model_path = model_path;
    config.n_ctx = n_ctx;
    config.n_ubatch = n_ubatch;
    config.n_threads = n_threads;
    config.n_gpu_layers = n_gpu_layers;
    config.split_mode = split_mode;
    config.tensor_split = tensor_split;
    config.main_gpu = main_gpu;
    config.use_mmap = use_mmap;
    config.flash_attn = flash_attn;
    config.max_queue = max_queue;
    config.request_timeout_s = request_timeout_s;
    return config;
}

void EmbedderConfig::validate() const {
    engine_config().validate();
    if (max_queue < 1) { // there are no slots beside the queue
        throw ParameterError("max_queue", "max_queue must be 1 or more, got " + std::to_string(max_queue));
    }
}

} // namespace llamad
