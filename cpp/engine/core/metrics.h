// Counters, gauges and histograms of one engine: written by its thread, read by anyone without stopping it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "core/heartbeat.h"
#include "core/histogram.h"
#include "core/types.h"

namespace llamad {

// Upper limits of buckets. Where vLLM measures the same, its own are among them, so that dashboards and
// alerts made for it apply; the finer ones at the beginning are for small models and idle servers.
namespace bounds {

// A request's time, and its parts; seconds.
inline constexpr std::array kRequest{0.01, 0.05, 0.1,   0.3,   0.5,   0.8,   1.0,    1.5,
                                     2.0,  2.5,  5.0,   10.0,  15.0,  20.0,  30.0,   40.0,
                                     50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};
inline constexpr std::array kFirstToken{0.001, 0.005, 0.01, 0.02,  0.04,  0.06,  0.08, 0.1,
                                        0.25,  0.5,   0.75, 1.0,   2.5,   5.0,   7.5,  10.0,
                                        20.0,  40.0,  80.0, 160.0, 640.0, 2560.0};
inline constexpr std::array kTokenGap{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,  0.15, 0.2,  0.3,
                                      0.4,   0.5,    0.75,  1.0,  2.5,   5.0,  7.5,   10.0, 20.0, 40.0, 80.0};
// Tokens of a request.
inline constexpr std::array kTokens{1.0,     2.0,      5.0,      10.0,     20.0,     50.0,    100.0,
                                    200.0,   500.0,    1000.0,   2000.0,   5000.0,   10000.0, 20000.0,
                                    50000.0, 100000.0, 200000.0, 500000.0, 1000000.0};
inline constexpr std::array kStep{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                  0.25,   0.5,   1.0,    2.5,   5.0,  10.0,  30.0, 60.0};
// Rows of one call of the model.
inline constexpr std::array kRows{1.0,   2.0,   4.0,   8.0,    16.0,   32.0,  64.0,
                                  128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0};

} // namespace bounds

struct Metrics {
    using Counter = std::atomic<std::uint64_t>;
    using Gauge = std::atomic<std::int32_t>;

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
    std::array<Counter, 4> finished{}; // requests ended, by FinishReason
    Gauge running{0};                  // slots with a request
    Gauge waiting{0};                  // requests without a slot
    Counter kv_cells_used{0};          // tokens in the KV streams of running requests
    Counter kv_cells_held{0};          // and of idle slots, which give way
    Counter store_bytes{0};            // KV states in memory
    Counter store_disk_bytes{0};       // KV states on disk
    Counter store_entries{0};          // KV states in either
    Counter store_evictions{0};        // KV states that left memory for want of room

    Histogram queue_s{bounds::kRequest};   // submitted -> first slot, of requests that got one
    Histogram ttft_s{bounds::kFirstToken}; // submitted -> first token sampled
    Histogram itl_s{bounds::kTokenGap};    // from token to token of a request
    // Of requests that ended by themselves: all of it, and after the queue before and from the first token.
    Histogram e2e_s{bounds::kRequest};
    Histogram prefill_s{bounds::kRequest};
    Histogram decode_s{bounds::kRequest};
    Histogram prompt_tokens_each{bounds::kTokens};
    Histogram generation_tokens_each{bounds::kTokens};
    Histogram step_s{bounds::kStep};       // turns of the loop that computed something
    Histogram decode_rows{bounds::kRows};  // planned for one call: next tokens
    Histogram prefill_rows{bounds::kRows}; // and prompt tokens

    Heartbeat heartbeat;

    // There is one writer, so a plain load and store will do.
    static void add(Counter &counter, std::uint64_t n) {
        counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
};

} // namespace llamad
