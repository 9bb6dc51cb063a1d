// The words that every room of the engine shares.
#pragma once

#include <chrono>
#include <cstdint>

namespace llamad {

using TokenId = std::int32_t;    // index into the model's vocabulary
using SlotId = std::int32_t;     // index of a KV stream: llama.cpp's sequence id
using Pos = std::int32_t;        // position of a token in its sequence
using RequestId = std::uint64_t; // unique within one engine, never reused, never 0

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

inline double seconds_between(TimePoint from, TimePoint to) {
    return std::chrono::duration<double>(to - from).count();
}

enum class FinishReason : std::uint8_t {
    kStop,      // an end-of-generation token or a stop string
    kLength,    // max_tokens reached, or the context is full
    kCancelled, // cancel() was called
    kError,     // see ErrorKind
};

// Why a request that had been accepted ended with FinishReason::kError.
enum class ErrorKind : std::uint8_t {
    kNone,
    kEngineClosed,     // the engine was closed while the request was queued or running
    kGenerationFailed, // decoding or sampling failed for this request
    kQueueTimeout,     // no slot became free in time
    kTimeout,          // the request did not end in time
};

struct Usage {
    std::int32_t prompt_tokens = 0;
    std::int32_t completion_tokens = 0;
    std::int32_t cached_tokens = 0; // of the prompt: taken from the KV cache instead of computed
};

struct Timings {
    double queue_s = 0;   // submitted -> slot assigned
    double prefill_s = 0; // slot assigned -> first token sampled, a preemption in between included
    double decode_s = 0;  // first token sampled -> end
};

} // namespace llamad
