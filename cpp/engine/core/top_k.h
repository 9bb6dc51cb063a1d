// Finds the tokens worth sampling from while reading the row of logits once, without an array of all
// candidates: for a vocabulary of 49k that array alone costs several times as much as reading the row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/logit_row.h"
#include "core/types.h"

namespace llamad {

struct Candidate {
    TokenId token;
    float logit;
};

// Tokens at -inf or NaN are never candidates. `groups` of a LogitRow: which tokens the logits belong to, if
// not to all. The spans returned are valid until the next call. Keeps its buffers between calls: one thread
// at a time.
class CandidateSelector {
  public:
    // The k likeliest tokens, likeliest first; of equals, the lowest ids. Fewer if there are not as many.
    //
    // 1. Divide the row into blocks of 64 and take the maximum of each.
    // 2. The k-th largest of these is a lower bound: k tokens reach it.
    // 3. Gather what reaches it, from blocks whose maximum does. That is few more than k tokens while k is
    //    small beside the number of blocks.
    // 4. Sort these and keep k.
    std::span<const Candidate> largest(std::span<const float> logits, std::size_t k,
                                       std::span<const TokenId> groups = {});

    // The tokens whose logit is at least the largest one plus `margin` (0 or less), by id.
    std::span<const Candidate> near_largest(std::span<const float> logits, float margin,
                                            std::span<const TokenId> groups = {});

  private:
    void find_maxima(std::span<const float> logits);
    float kth_largest_maximum(std::size_t k);
    void gather(std::span<const float> logits, float bound);
    void name(std::span<const TokenId> groups);

    std::vector<float> maxima_;
    std::vector<std::int32_t> keys_;
    std::vector<Candidate> found_;
};

} // namespace llamad
