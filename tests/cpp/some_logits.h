// What a device would pick out of a row of logits: the groups with the largest maxima, and what is left over
// at the end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "core/logit_row.h"
#include "core/logit_scan.h"
#include "core/types.h"

namespace llamad {

class SomeLogits {
  public:
    static constexpr std::size_t kGroup = LogitRow::kGroup;

    // The row's `n` groups of the largest maxima, or some of these on a tie, in a random order; then the
    // `n_rest` whole groups at the end and what makes no whole group.
    SomeLogits(std::mt19937 &random, std::span<const float> row, std::size_t n, std::size_t n_rest = 0) {
        const std::size_t n_whole = row.size() / kGroup - n_rest;
        std::vector<std::pair<float, TokenId>> groups;
        for (std::size_t i = 0; i < n_whole; ++i) {
            groups.emplace_back(max_logit(row.subspan(i * kGroup, kGroup)), static_cast<TokenId>(i * kGroup));
        }
        std::shuffle(groups.begin(), groups.end(), random);
        std::sort(groups.begin(), groups.end(),
                  [](const auto &a, const auto &b) { return a.first > b.first; });
        groups.resize(std::min(n, groups.size()));
        bound_ = groups.back().first;
        std::shuffle(groups.begin(), groups.end(), random);
        for (std::size_t first = n_whole * kGroup; first < row.size(); first += kGroup) {
            groups.emplace_back(0.0F, static_cast<TokenId>(first));
        }
        for (const auto &[max, first] : groups) {
            const auto begin = static_cast<std::size_t>(first);
            const auto logits = row.subspan(begin, std::min(kGroup, row.size() - begin));
            groups_.push_back(first);
            values_.insert(values_.end(), logits.begin(), logits.end());
        }
    }

    LogitRow row() { return {values_, groups_, bound_}; }
    const std::vector<float> &values() const { return values_; }

  private:
    std::vector<float> values_;
    std::vector<TokenId> groups_;
    float bound_;
};

} // namespace llamad
