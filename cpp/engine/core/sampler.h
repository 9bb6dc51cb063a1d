// Picks the next token of a request from its row of logits.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/model_runner.h"
#include "core/types.h"

namespace llamad {

// Index of the largest value; the lowest one on a tie; -1 if no value is above -inf (all NaN, say).
// One pass over the logits: building llama.cpp's candidate array for a 49k vocabulary costs ten
// times as much as reading it.
TokenId argmax(std::span<const float> logits);

// The same among the tokens that are not forbidden.
TokenId argmax_except(std::span<const float> logits, std::span<const TokenId> forbidden);

// Greedy requests are answered from the logits; all others by the runner's sampling chain.
class Sampler {
  public:
    Sampler(std::unique_ptr<SamplerChain> chain, std::vector<TokenId> forbidden);

    // Throws std::exception where no token can be taken.
    TokenId pick(ModelRunner &runner, std::size_t row);

  private:
    std::unique_ptr<SamplerChain> chain_;
    std::vector<TokenId> forbidden_;
};

} // namespace llamad
