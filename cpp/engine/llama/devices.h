// What computes and has memory, and what of it a model is loaded on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/params.h"

// Declared instead of included: who asks for memory need not see ggml.
struct ggml_backend_device;

namespace llamad {

// Something that computes and has memory: the processors ("CPU"), or a GPU.
struct Device {
    std::string name;        // "CPU", "CUDA0", ...
    std::string description; // the processor's or the GPU's name
    std::uint64_t total = 0; // bytes; of "CPU": see host_memory()
    std::uint64_t free = 0;  // bytes

    // What of the free memory models may take: a tenth of it, at most 1 GiB, is left to what no estimate
    // knows of. A GPU's libraries take workspaces when they first compute.
    std::uint64_t usable() const;
};

// What of a device's memory a model takes, in bytes.
struct MemoryUse {
    Device device;
    std::int32_t n_layers = 0; // of the model's layers, with the output layer as the last of them
    std::uint64_t weights = 0; // tensors, mapped or not, and the vocabulary
    std::uint64_t context = 0; // KV cache or recurrent states, and the rows of results
    std::uint64_t compute = 0; // what lies between two layers

    std::uint64_t sum() const { return weights + context + compute; }
};

// "CPU" first. Any thread; the first call starts the GPUs' drivers.
std::vector<Device> devices();

// What this is built with, whether there is a device for it or not: "CPU", "CUDA".
std::vector<std::string> backends();

Device describe(ggml_backend_device *device);

// The GPUs that a model may be put on, in the order in which main_gpu and tensor_split count them.
std::vector<ggml_backend_device *> gpus();

// Those of them that a model with this configuration is put on; none where n_gpu_layers is 0. Throws
// ParameterError where it asks for devices that are not there, or for what they cannot do.
std::vector<ggml_backend_device *> gpus_for(const EngineConfig &config);

// "CUDA0 (NVIDIA H100, 1.20 GiB free of 79.11 GiB)" of each GPU, with commas between them.
std::string shown(const std::vector<ggml_backend_device *> &devices);

std::string size_text(std::uint64_t n_bytes); // "1.20 GiB", "17.5 MiB"

} // namespace llamad
