// What a model would take of each device's memory, found out without loading it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/params.h"
#include "embed/embedder_config.h"
#include "llama/devices.h"

// Declared instead of included: who asks need not see llama.cpp.
struct llama_context;

namespace llamad {

class BackendShortlist;
class LlamaModel;

// What a model and its context take of each device that they use, "CPU" first; as allocated, or as a
// simulation would.
std::vector<MemoryUse> memory_uses(const LlamaModel &model, const llama_context *context,
                                   const BackendShortlist *shortlist = nullptr);

// As much as loading with this configuration would allocate on each device that it would use, "CPU" first.
// llama.cpp goes through loading without allocating, which takes some tens of milliseconds, most of them for
// the vocabulary; only recurrent states are really allocated, and freed. Not counted: states of the prefix
// cache, what a GPU's driver keeps. Where n_gpu_layers is not given it is taken for "all"; a model that is
// split by tensors is taken for one that is split by layers in the same shares. Any thread. Throws
// ParameterError or ModelError as loading would.
std::vector<MemoryUse> estimate_memory(const EngineConfig &config);
std::vector<MemoryUse> estimate_memory(const EmbedderConfig &config);

} // namespace llamad
