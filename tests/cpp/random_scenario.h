// What kind of model a random machine runs, and what befalls it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fake_model.h"

namespace llamad {

struct Scenario {
    Memory memory = Memory::kFull;
    bool unified = false;
    std::size_t n_stored = 0; // tokens that the store has room for
    bool padding = false;     // decode batches are padded
    bool failures = false;    // decodes fail, copies, saved and restored states are refused
};

inline constexpr std::int32_t kContext = 128;

inline RunnerLimits limits_of(const Scenario &scenario) {
    return with_memory(scenario.memory, {.n_slots = 4,
                                         .n_ctx = kContext,
                                         .n_batch = 32,
                                         .n_ubatch = 24,
                                         .unified = scenario.unified,
                                         .pads_decodes = scenario.padding});
}

} // namespace llamad
