#include "core/sampler.h"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <utility>

namespace llamad {

namespace {

// Independent lanes let the compiler use vector maxima without -ffast-math: `a > b ? a : b` is exactly
// what the instruction does, NaN included (a NaN in `a` is passed over).
constexpr std::size_t kLanes = 64;
constexpr float kLowest = -std::numeric_limits<float>::infinity();

float max_value(std::span<const float> values) {
    std::array<float, kLanes> best{};
    best.fill(kLowest);
    const std::size_t whole = values.size() - values.size() % kLanes;
    for (std::size_t i = 0; i < whole; i += kLanes) {
        const float *block = values.data() + i;
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            best[lane] = block[lane] > best[lane] ? block[lane] : best[lane];
        }
    }
    float result = kLowest;
    for (const float value : best) {
        result = value > result ? value : result;
    }
    for (std::size_t i = whole; i < values.size(); ++i) {
        result = values[i] > result ? values[i] : result;
    }
    return result;
}

} // namespace

TokenId argmax(std::span<const float> logits) {
    const float best = max_value(logits);
    if (best == kLowest) {
        return -1;
    }
    return static_cast<TokenId>(std::find(logits.begin(), logits.end(), best) - logits.begin());
}

TokenId argmax_except(std::span<const float> logits, std::span<const TokenId> forbidden) {
    const TokenId token = argmax(logits);
    if (std::find(forbidden.begin(), forbidden.end(), token) == forbidden.end()) {
        return token;
    }
    // The winner is forbidden: blank out a copy and look again. That is rare, but for a request that ignores
    // the end while the model insists on it.
    std::vector<float> allowed(logits.begin(), logits.end());
    for (const TokenId banned : forbidden) {
        if (banned >= 0 && static_cast<std::size_t>(banned) < allowed.size()) {
            allowed[static_cast<std::size_t>(banned)] = kLowest;
        }
    }
    return argmax(allowed);
}

Sampler::Sampler(std::unique_ptr<SamplerChain> chain, std::vector<TokenId> forbidden)
    : chain_(std::move(chain)), forbidden_(std::move(forbidden)) {}

TokenId Sampler::pick(ModelRunner &runner, std::size_t row) {
    if (chain_ != nullptr) {
        return runner.sample(*chain_, row);
    }
    const TokenId token = argmax_except(runner.logits(row), forbidden_);
    if (token < 0) {
        throw std::runtime_error("the model returned no usable logits (all NaN or forbidden)");
    }
    return token;
}

} // namespace llamad
