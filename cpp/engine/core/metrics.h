// Counters and gauges of one engine: written by its thread, read by anyone without stopping it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "core/types.h"

namespace llamad {

struct Metrics {
    using Counter = std::atomic<std::uint64_t>;

    Counter prompt_tokens{0};             // of requests given a slot, cached ones included
    Counter cached_tokens{0};             // of those: found in the slot's KV stream
    Counter prefilled_tokens{0};          // prompt tokens computed
    Counter generated_tokens{0};          // tokens sampled
    Counter steps{0};                     // turns of the engine's loop
    Counter decode_calls{0};              // calls of ModelRunner::decode
    std::array<Counter, 4> finished{};    // requests ended, by FinishReason
    std::atomic<std::int32_t> running{0}; // slots with a request
    std::atomic<std::int32_t> waiting{0}; // requests without a slot

    // There is one writer, so a plain load and store will do.
    static void add(Counter &counter, std::uint64_t n) {
        counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
};

} // namespace llamad
