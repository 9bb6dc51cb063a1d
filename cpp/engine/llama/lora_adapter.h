// Low-rank adapters of a model, from GGUF files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/params.h"

struct llama_adapter_lora;
struct llama_context;
struct llama_model;

namespace llamad {

// An adapter in memory. Its model owns it.
struct LoadedAdapter {
    llama_adapter_lora *adapter;
    float scale;
};

// Loads the adapters that the configuration names into its model; to be called before there is a context,
// whose graphs have room for as many adapters as there are then. Throws ModelLoadError naming the file.
std::vector<LoadedAdapter> load_adapters(llama_model *model, const EngineConfig &config);

// What the context computes from now on is changed by the adapters.
void attach(llama_context *context, const std::vector<LoadedAdapter> &adapters);

// Bytes of the adapters' tensors. Throws as load_adapters() does.
std::uint64_t adapter_bytes(const EngineConfig &config);

} // namespace llamad
