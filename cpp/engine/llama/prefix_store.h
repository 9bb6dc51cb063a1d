// The store of KV states that have left their slots, as the configuration asks for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/engine.h"
#include "core/params.h"

namespace llamad {

// Throws ParameterError where the directory cannot be used.
MakeStore prefix_store(const EngineConfig &config, const RunnerLimits &limits);

// -1: a quarter of the memory that is free, of the machine or the process's cgroup, but at most 8 GiB.
std::size_t prefix_cache_bytes(std::int32_t prefix_cache_mib);

// Says which model and context a KV state belongs to; not where the model's file lies.
std::string kv_state_identity(const EngineConfig &config);

} // namespace llamad
