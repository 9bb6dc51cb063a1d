// Counters and gauges of one engine: written by its thread, read by anyone without stopping it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "core/types.h"

namespace llamad {

struct Metrics {
    using Counter = std::atomic<std::uint64_t>;

    Counter prompt_tokens{0};    // of requests given a slot, cached ones included
    Counter cached_tokens{0};    // of those: not computed again
    Counter copied_tokens{0};    // of the cached ones: held by another slot
    Counter restored_tokens{0};  // of the cached ones: held by the host store
    Counter prefilled_tokens{0}; // prompt tokens computed, and after a preemption those generated before
    Counter preemptions{0};      // requests that lost their slot to an older one
    Counter queue_timeouts{0};   // requests that got no slot in time
    Counter timeouts{0};         // requests that did not end in time
    Counter generated_tokens{0}; // tokens sampled
    Counter steps{0};            // turns of the engine's loop
    Counter decode_calls{0};     // calls of ModelRunner::decode
    std::array<Counter, 4> finished{};    // requests ended, by FinishReason
    std::atomic<std::int32_t> running{0}; // slots with a request
    std::atomic<std::int32_t> waiting{0}; // requests without a slot
    Counter store_bytes{0};               // KV states in memory
    Counter store_disk_bytes{0};          // KV states on disk
    Counter store_entries{0};             // KV states in either
    Counter store_evictions{0};           // KV states that left memory for want of room

    // There is one writer, so a plain load and store will do.
    static void add(Counter &counter, std::uint64_t n) {
        counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
};

} // namespace llamad
