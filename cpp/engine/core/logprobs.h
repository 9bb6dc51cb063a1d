// Log-probabilities of the model's own distribution, for the requests that ask for them.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "core/types.h"

namespace llamad {

// Natural logarithms of softmax(logits): before penalties, biases, temperature and everything else that a
// request does to its logits.
struct TokenLogprobs {
    TokenId token = -1;
    float logprob = 0;                          // -inf for a token that the model rules out
    std::vector<std::pair<TokenId, float>> top; // the likeliest tokens, likeliest first, lowest id on a tie
};

inline constexpr std::int32_t kMaxLogprobs = 20; // as in OpenAI's API

// `token` must be an index of `logits`. Fewer than `n_top` tokens are listed where fewer are above -inf.
TokenLogprobs token_logprobs(std::span<const float> logits, TokenId token, std::int32_t n_top);

} // namespace llamad
