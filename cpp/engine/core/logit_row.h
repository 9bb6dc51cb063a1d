// One row of logits as a sampler gets to see it: all of them, or those that a device has picked out.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <utility>

#include "core/logit_scan.h"
#include "core/types.h"

namespace llamad {

// A view: whoever makes one owns the memory. Some of a row are whole groups of tokens with successive ids,
// each group beginning at a multiple of its size; groups stand in any order.
class LogitRow {
  public:
    static constexpr std::size_t kGroup = 32; // tokens

    // All logits, [n_vocab].
    template <typename Logits>
        requires std::convertible_to<Logits, std::span<float>>
    LogitRow(Logits &&logits) : values_(std::forward<Logits>(logits)) {} // NOLINT(*-explicit-*)

    // Some. `groups`: the first token of each, of which there is at least one. `values`: theirs, one group
    // after the other; only the last may be shorter than kGroup. `bound`: no other token's logit is above it.
    LogitRow(std::span<float> values, std::span<const TokenId> groups, float bound)
        : values_(values), groups_(groups), bound_(bound) {}

    bool has_all() const { return groups_.empty(); }
    std::span<float> values() const { return values_; }
    std::span<const TokenId> groups() const { return groups_; }

    // Of has_all(): -inf.
    float bound() const { return bound_; }

    // Which token values()[i] belongs to.
    TokenId token(std::size_t i) const { return token_of(groups_, i); }

    static TokenId token_of(std::span<const TokenId> groups, std::size_t i) {
        return groups.empty() ? static_cast<TokenId>(i)
                              : groups[i / kGroup] + static_cast<TokenId>(i % kGroup);
    }

    // The token's logit; null where it is not among these.
    float *find(TokenId token) const {
        auto index = static_cast<std::size_t>(token);
        if (!has_all()) {
            const std::size_t place = index % kGroup;
            const auto group = std::find(groups_.begin(), groups_.end(), static_cast<TokenId>(index - place));
            index = static_cast<std::size_t>(group - groups_.begin()) * kGroup + place;
        }
        return index < values_.size() ? &values_[index] : nullptr;
    }

  private:
    std::span<float> values_;
    std::span<const TokenId> groups_;
    float bound_ = kImpossible;
};

} // namespace llamad
