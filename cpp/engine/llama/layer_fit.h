// Decides which layers of a model lie on which GPU, by what they would take and what is free.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/params.h"
#include "embed/embedder_config.h"

namespace llamad {

// Bytes that a model may take of each GPU, by the GPU's name; of one that is not named, Device::usable().
using Room = std::map<std::string, std::uint64_t>;

// The configuration with what it leaves open decided: n_gpu_layers, where it is not given, is the largest
// number of layers whose weights, KV cache and compute buffers have room, 0 if there is no room for one;
// tensor_split, where several GPUs share a model and it is empty, is what room they have. Without a GPU it
// does nothing. Any thread; takes some tens of milliseconds for each of the numbers that it tries, which are
// as many as a binary search takes. Throws as estimate_memory() does.
EngineConfig placed(EngineConfig config, const Room &room = {});
EmbedderConfig placed(EmbedderConfig config, const Room &room = {});

// The same for a model that is about to be loaded. Throws ModelLoadError, naming for each GPU what is needed
// and what is free, where n_gpu_layers is given and more than fits.
EngineConfig placed_to_load(const EngineConfig &config);
EmbedderConfig placed_to_load(const EmbedderConfig &config);

} // namespace llamad
