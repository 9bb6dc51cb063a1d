#include "llama/layer_fit.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "core/errors.h"
#include "llama/devices.h"
#include "llama/llama_log.h"
#include "llama/memory_estimate.h"

namespace llamad {

namespace {

std::uint64_t room_of(const Device &device, const Room &room) {
    const auto found = room.find(device.name);
    return found == room.end() ? device.usable() : found->second;
}

bool is_gpu(const MemoryUse &use) { return use.device.name != "CPU"; }

template <typename Config> std::vector<MemoryUse> estimate_with(Config config, std::int32_t n_gpu_layers) {
    config.n_gpu_layers = n_gpu_layers;
    return estimate_memory(config);
}

std::int32_t n_layers(const std::vector<MemoryUse> &uses) {
    return std::accumulate(uses.begin(), uses.end(), 0,
                           [](std::int32_t sum, const MemoryUse &use) { return sum + use.n_layers; });
}

// With more layers on GPUs no GPU takes less, but for the few bytes of a buffer between two layers.
template <typename Config> std::int32_t most_layers(const Config &config, const Room &room) {
    const auto fits = [&](const std::vector<MemoryUse> &uses) {
        return std::ranges::all_of(uses, [&](const MemoryUse &use) {
            return !is_gpu(use) || use.sum() <= room_of(use.device, room);
        });
    };
    const std::vector<MemoryUse> uses_of_all = estimate_with(config, -1);
    std::int32_t too_many = n_layers(uses_of_all);
    if (fits(uses_of_all)) {
        return too_many;
    }
    std::int32_t most = 0; // takes nothing of any GPU
    while (too_many - most > 1) {
        const std::int32_t middle = std::midpoint(most, too_many);
        (fits(estimate_with(config, middle)) ? most : too_many) = middle;
    }
    return most;
}

// What room each has; none where none has any, for nothing but zeros shares nothing.
std::vector<float> shares(const std::vector<ggml_backend_device *> &devices, const Room &room) {
    std::vector<float> shares(devices.size());
    std::ranges::transform(devices, shares.begin(), [&](ggml_backend_device *device) {
        return static_cast<float>(room_of(describe(device), room));
    });
    const bool is_full = std::ranges::all_of(shares, [](float share) { return share == 0; });
    return is_full ? std::vector<float>{} : shares;
}

std::vector<ggml_backend_device *> gpus_for(const EmbedderConfig &config) {
    return gpus_for(config.engine_config());
}

template <typename Config> Config with_places(Config config, const Room &room) {
    const std::vector<ggml_backend_device *> devices = gpus_for(config);
    if (devices.empty()) {
        if (config.n_gpu_layers.value_or(0) != 0) {
            log_warning("n_gpu_layers is " + std::to_string(*config.n_gpu_layers) +
                        ", but llamad sees no GPU here: the processors compute all layers");
        }
        config.n_gpu_layers = 0;
        return config;
    }
    if (devices.size() > 1 && config.tensor_split.empty() && config.split_mode != "tensor") {
        config.tensor_split = shares(devices, room);
    }
    if (!config.n_gpu_layers) {
        config.n_gpu_layers = most_layers(config, room);
    }
    return config;
}

// "CUDA0 needs 5.10 GiB (weights 4.30 GiB, context 0.50 GiB, compute buffers 0.30 GiB), and 3.90 of 8.00 GiB
// are free" for each GPU that has not enough.
std::string what_is_missing(const std::vector<MemoryUse> &uses) {
    std::string text;
    for (const MemoryUse &use : uses) {
        if (is_gpu(use) && use.sum() > use.device.free) {
            text.append(text.empty() ? "" : "; ").append(use.device.name);
            text.append(" would need ")
                .append(size_text(use.sum()))
                .append(" (weights ")
                .append(size_text(use.weights));
            text.append(", context ").append(size_text(use.context)).append(", compute buffers ");
            text.append(size_text(use.compute)).append("), and has ").append(size_text(use.device.free));
            text.append(" free of ").append(size_text(use.device.total));
        }
    }
    return text;
}

template <typename Config> Config checked(const Config &config) {
    const Config decided = with_places(config, {});
    if (!config.n_gpu_layers || decided.n_gpu_layers == 0) {
        return decided;
    }
    const std::vector<MemoryUse> uses = estimate_memory(decided);
    const std::string missing = what_is_missing(uses);
    if (missing.empty()) {
        return decided;
    }
    throw ModelLoadError("not enough GPU memory to load " + config.model_path + ": " + missing +
                         ". n_gpu_layers \"auto\" would put " + std::to_string(most_layers(decided, {})) +
                         " of " + std::to_string(n_layers(uses)) +
                         " layers on GPUs; a smaller n_ctx or n_parallel, or another cache_type, takes less");
}

} // namespace

EngineConfig placed(EngineConfig config, const Room &room) { return with_places(std::move(config), room); }
EmbedderConfig placed(EmbedderConfig config, const Room &room) {
    return with_places(std::move(config), room);
}

EngineConfig placed_to_load(const EngineConfig &config) { return checked(config); }
EmbedderConfig placed_to_load(const EmbedderConfig &config) { return checked(config); }

} // namespace llamad
