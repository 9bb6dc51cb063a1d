#include "core/sampler.h"

#include <algorithm>
#include <limits>
#include <ranges>
#include <stdexcept>
#include <utility>

#include "core/logit_scan.h"

namespace llamad {

TokenId argmax(std::span<const float> logits) {
    // Looking for the place of the maximum costs more than finding its value, so remember about where it was.
    constexpr std::size_t kChunk = 64 * kLanes;
    float best = kImpossible;
    std::span<const float> where;
    for (std::size_t start = 0; start < logits.size(); start += kChunk) {
        const auto chunk = logits.subspan(start, std::min(kChunk, logits.size() - start));
        const float max = max_logit(chunk);
        if (max > best) {
            best = max;
            where = chunk;
        }
    }
    if (where.empty()) {
        return -1;
    }
    return static_cast<TokenId>(std::find(where.begin(), where.end(), best) - where.begin() +
                                (where.data() - logits.data()));
}

namespace {

TokenId likeliest(const LogitRow &row) {
    if (row.has_all()) {
        return argmax(row.values());
    }
    const std::span<const float> values = row.values();
    const float best = max_logit(values);
    if (!(best > row.bound())) {
        return kUndecided;
    }
    TokenId lowest = std::numeric_limits<TokenId>::max(); // groups stand in any order
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (values[i] == best) {
            lowest = std::min(lowest, row.token(i));
        }
    }
    return lowest;
}

} // namespace

TokenId argmax_except(LogitRow logits, std::span<const TokenId> forbidden) {
    const TokenId token = likeliest(logits);
    if (std::find(forbidden.begin(), forbidden.end(), token) == forbidden.end()) {
        return token;
    }
    // The winner is forbidden: blank them all out and look again. That is rare, but for a request that
    // ignores the end while the model insists on it.
    std::vector<std::pair<float *, float>> blanked;
    blanked.reserve(forbidden.size());
    for (const TokenId banned : forbidden) {
        if (float *logit = logits.find(banned)) {
            blanked.emplace_back(logit, std::exchange(*logit, kImpossible));
        }
    }
    const TokenId allowed = likeliest(logits);
    // Backwards: a token that is listed twice gets its first value again.
    for (const auto &[where, logit] : std::views::reverse(blanked)) {
        *where = logit;
    }
    return allowed;
}

Sampler::Sampler(std::unique_ptr<SamplerChain> chain, std::vector<TokenId> forbidden, std::int32_t n_logprobs)
    : chain_(std::move(chain)), forbidden_(std::move(forbidden)), n_logprobs_(n_logprobs) {}

TokenId Sampler::pick_token(LogitRow logits) {
    if (chain_ != nullptr) {
        return chain_->sample(logits);
    }
    const TokenId token = argmax_except(logits, forbidden_);
    if (token < 0 && logits.has_all()) {
        throw std::runtime_error("the model returned no usable logits (all NaN or forbidden)");
    }
    return token;
}

Picked Sampler::pick(LogitRow logits) {
    Picked picked;
    picked.token = pick_token(logits);
    if (n_logprobs_ >= 0) {
        picked.logprobs = token_logprobs(logits.values(), picked.token, n_logprobs_);
    }
    return picked;
}

} // namespace llamad
