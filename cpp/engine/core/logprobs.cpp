#include "core/logprobs.h"

#include <cmath>

#include "core/logit_scan.h"
#include "core/top_k.h"

namespace llamad {

TokenLogprobs token_logprobs(std::span<const float> logits, TokenId token, std::int32_t n_top) {
    const float max = max_logit(logits);
    const double log_sum = std::isfinite(max) ? std::log(sum_exp(logits, max)) : 0.0;
    const auto logprob = [max, log_sum](float logit) {
        const auto value =
            static_cast<float>(static_cast<double>(logit) - static_cast<double>(max) - log_sum);
        return std::isnan(value) ? kImpossible : value;
    };
    TokenLogprobs result;
    result.token = token;
    result.logprob = logprob(logits[static_cast<std::size_t>(token)]);
    if (n_top > 0) {
        CandidateSelector selector;
        for (const Candidate &candidate : selector.largest(logits, static_cast<std::size_t>(n_top))) {
            result.top.emplace_back(candidate.token, logprob(candidate.logit));
        }
    }
    return result;
}

} // namespace llamad
