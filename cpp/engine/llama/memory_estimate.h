// What a model would take of each device's memory, found out without loading it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/params.h"
#include "embed/embedder_config.h"

namespace llamad {

// Something that computes and has memory: the processors ("CPU"), which come first, and GPUs.
struct Device {
    std::string name;        // "CPU", "CUDA0", ...
    std::string description; // the processor's or the GPU's name
    std::uint64_t total = 0; // bytes; of "CPU": see host_memory()
    std::uint64_t free = 0;  // bytes
};

std::vector<Device> devices();

// Bytes on one device.
struct MemoryUse {
    Device device;
    std::uint64_t weights = 0; // tensors, mapped or not, and the vocabulary
    std::uint64_t context = 0; // KV cache or recurrent states, and the rows of results
    std::uint64_t compute = 0; // what lies between two layers
};

// As much as loading with this configuration would allocate on each device that it would use, "CPU" first.
// llama.cpp goes through loading without allocating, which takes some tens of milliseconds, most of them for
// the vocabulary; only recurrent states are really allocated, and freed. Not counted: states of the prefix
// cache, what a GPU's driver keeps. Any thread. Throws ParameterError or ModelError as loading would.
std::vector<MemoryUse> estimate_memory(const EngineConfig &config);
std::vector<MemoryUse> estimate_memory(const EmbedderConfig &config);

} // namespace llamad
