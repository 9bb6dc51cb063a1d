#include "core/top_k.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/logit_scan.h"

namespace llamad {

namespace {

// A block is one lane of a tile: every 64th logit of 4,096. Tokens of similar ids are often alike, and so end
// up in blocks of their own.
constexpr std::size_t kTile = 64 * kLanes;

// Reaching a bound of -inf would let the impossible tokens in.
float finite(float bound) { return std::max(bound, std::numeric_limits<float>::lowest()); }

// An integer that orders like the float, so that halving an interval ends after 32 steps whatever it spans.
// Its own inverse, bit for bit.
std::int32_t flip_negative(std::int32_t bits) { return bits < 0 ? bits ^ 0x7fffffff : bits; }

std::size_t count_from(std::span<const std::int32_t> keys, std::int32_t bound) {
    std::int32_t count = 0; // as wide as a key: the loop compares and adds whole vectors
    for (const std::int32_t key : keys) {
        count += key >= bound ? 1 : 0;
    }
    return static_cast<std::size_t>(count);
}

bool likelier(const Candidate &a, const Candidate &b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

} // namespace

void CandidateSelector::find_maxima(std::span<const float> logits) {
    maxima_.clear();
    for (std::size_t start = 0; start < logits.size(); start += kTile) {
        const auto tile = lane_maxima(logits.subspan(start, std::min(kTile, logits.size() - start)));
        maxima_.insert(maxima_.end(), tile.begin(), tile.end());
    }
}

// By bisection: 32 vectorized counts at most, where nth_element would mispredict every other branch.
float CandidateSelector::kth_largest_maximum(std::size_t k) {
    keys_.resize(maxima_.size());
    std::transform(maxima_.begin(), maxima_.end(), keys_.begin(),
                   [](float value) { return flip_negative(std::bit_cast<std::int32_t>(value)); });
    const auto [least, greatest] = std::minmax_element(keys_.begin(), keys_.end());
    std::int64_t low = *least;
    std::int64_t high = *greatest;
    // At least k keys reach `low`; fewer than k reach `high` + 1.
    while (low < high) {
        const std::int64_t middle = low + (high - low + 1) / 2;
        const std::size_t count = count_from(keys_, static_cast<std::int32_t>(middle));
        if (count >= k) {
            low = middle;
        } else {
            high = middle - 1;
        }
        if (count == k) {
            break; // raising the bound further would gain nothing
        }
    }
    return std::bit_cast<float>(flip_negative(static_cast<std::int32_t>(low)));
}

void CandidateSelector::gather(std::span<const float> logits, float bound) {
    found_.clear();
    for (std::size_t block = 0; block < maxima_.size(); ++block) {
        if (maxima_[block] < bound) {
            continue;
        }
        const std::size_t tile = block / kLanes * kTile;
        const std::size_t end = std::min(tile + kTile, logits.size());
        for (std::size_t i = tile + block % kLanes; i < end; i += kLanes) {
            if (logits[i] >= bound) {
                found_.push_back({static_cast<TokenId>(i), logits[i]});
            }
        }
    }
}

// What is found in some of a row is known by its place there.
void CandidateSelector::name(std::span<const TokenId> groups) {
    for (Candidate &candidate : found_) {
        candidate.token = LogitRow::token_of(groups, static_cast<std::size_t>(candidate.token));
    }
}

std::span<const Candidate> CandidateSelector::largest(std::span<const float> logits, std::size_t k,
                                                      std::span<const TokenId> groups) {
    if (k == 0) {
        return {};
    }
    find_maxima(logits);
    gather(logits, finite(k < maxima_.size() ? kth_largest_maximum(k) : kImpossible));
    if (!groups.empty()) {
        name(groups);
    }
    const std::size_t n = std::min(k, found_.size());
    const auto end = found_.begin() + static_cast<std::ptrdiff_t>(n);
    if (n < found_.size()) {
        std::nth_element(found_.begin(), end, found_.end(), likelier);
    }
    std::sort(found_.begin(), end, likelier);
    return std::span(found_).first(n);
}

std::span<const Candidate> CandidateSelector::near_largest(std::span<const float> logits, float margin,
                                                           std::span<const TokenId> groups) {
    constexpr std::size_t kStretch = 8 * kLanes;
    const float bound = finite(max_logit(logits) + margin);
    found_.clear();
    for (std::size_t start = 0; start < logits.size(); start += kStretch) {
        const std::size_t end = std::min(start + kStretch, logits.size());
        if (max_logit(logits.subspan(start, end - start)) < bound) {
            continue;
        }
        for (std::size_t i = start; i < end; ++i) {
            if (logits[i] >= bound) {
                found_.push_back({static_cast<TokenId>(i), logits[i]});
            }
        }
    }
    if (!groups.empty()) {
        name(groups);
        std::sort(found_.begin(), found_.end(),
                  [](const Candidate &a, const Candidate &b) { return a.token < b.token; });
    }
    return found_;
}

} // namespace llamad
