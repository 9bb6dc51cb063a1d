// Reads a model's weights onto the devices that a configuration names.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/params.h"

// Declared instead of included: who uses a model need not see llama.cpp.
struct ggml_backend_device;
struct llama_model; // NOLINT(readability-identifier-naming): not our name

namespace llamad {

// Called with the loaded fraction, 0 to 1; returning false gives up.
using LoadProgress = std::function<bool(float)>;

enum class ModelWeights : std::uint8_t { kLoaded, kNone };

struct ModelDeleter {
    void operator()(llama_model *model) const;
};
using ModelPtr = std::unique_ptr<llama_model, ModelDeleter>;

// Blocks while the weights are read; without weights it only says what they would take, and where. Throws
// ParameterError where the devices cannot be had, and ModelLoadError, which says what they have free.
ModelPtr load_model(const EngineConfig &config, const LoadProgress &progress, ModelWeights weights);

// Of each layer, the device that computes it; of the output layer last.
std::vector<ggml_backend_device *> devices_of_layers(const llama_model &model);

} // namespace llamad
