// What an embedding engine is asked for, and what comes of it.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/types.h"

namespace llamad {

// Inputs that one caller wants computed, complete and checked. An input is what one vector, or one score, is
// computed from.
struct EmbedJob {
    RequestId id = 0;                         // assigned on submission
    std::vector<std::vector<TokenId>> inputs; // at least 1, each of 1 to n_ctx tokens
    TimePoint submitted_at;                   // set on submission
    // Inputs whose values are there: for onlookers in other threads, who may outlive the job.
    std::shared_ptr<std::atomic<std::size_t>> n_done = std::make_shared<std::atomic<std::size_t>>(0);
};

// How a job ended. Every accepted job gets exactly one.
struct EmbedEnd {
    RequestId id = 0;
    FinishReason reason = FinishReason::kStop; // kStop, kCancelled or kError
    std::size_t n_out = 1;                     // floats for each input
    std::vector<float> values;                 // of kStop: so many for each, in order of the inputs
    ErrorKind error = ErrorKind::kNone;
    std::string error_message; // not empty exactly where reason is kError
    double queue_s = 0;        // submitted -> first of its inputs in a batch
    double compute_s = 0;      // from then to the end
};

} // namespace llamad
