#include "llama/shortlist.h"

#include <algorithm>
#include <cmath>

#include "core/logit_scan.h"
#include "llama/backend_shortlist.h"

namespace llamad {

namespace {

// Up to one token in so many, finding the likeliest pays: above, the lower bound that CandidateSelector finds
// from blocks of 64 is too low to tell few tokens from many.
constexpr std::size_t kTokensPerCandidate = 128;

// How many likely tokens to check, beyond those wanted, before checking all: grammars mostly allow enough of
// them, and a check of the whole vocabulary takes milliseconds.
constexpr std::size_t kMore = 256;

} // namespace

Shortlist::Shortlist(const SamplingParams &params, std::int32_t n_vocab) {
    if (params.mirostat != 0 || params.dry_multiplier != 0) {
        return; // these look at every token
    }
    const bool xtc = params.xtc_probability > 0;
    const bool typical = params.typical_p < 1;
    const auto top_k = static_cast<std::size_t>(std::max(params.top_k, 0));
    if (params.temperature <= 0 && !typical && !xtc) {
        kind_ = Kind::kLargest; // what top-k, top-p and min-p always keep
        k_ = 1;
    } else if (top_k > 0 && top_k * kTokensPerCandidate <= static_cast<std::size_t>(n_vocab)) {
        kind_ = Kind::kLargest;
        k_ = top_k;
    } else if (top_k == 0 && !typical && params.top_p >= 1 && params.min_p > 0) {
        kind_ = Kind::kNearLargest; // min-p compares with the likeliest token alone
        margin_ = std::log(params.min_p);
    }
}

llama_token_data_array Shortlist::fill(std::span<const Candidate> candidates, bool sorted) {
    candidates_.clear();
    for (const Candidate &candidate : candidates) {
        candidates_.push_back({candidate.token, candidate.logit, 0.0F});
    }
    return {candidates_.data(), candidates_.size(), -1, sorted};
}

llama_token_data_array Shortlist::fill_with_all(std::span<const float> logits) {
    candidates_.clear();
    candidates_.reserve(logits.size());
    for (std::size_t i = 0; i < logits.size(); ++i) {
        if (logits[i] > kImpossible) {
            candidates_.push_back({static_cast<llama_token>(i), logits[i], 0.0F});
        }
    }
    return {candidates_.data(), candidates_.size(), -1, false};
}

bool Shortlist::needs_all_logits() const {
    return kind_ == Kind::kAll || (kind_ == Kind::kLargest && k_ >= BackendShortlist::kGroups);
}

Listed Shortlist::list(LogitRow logits) {
    const std::span<const float> values = logits.values();
    switch (kind_) {
    case Kind::kLargest: {
        const llama_token_data_array array =
            fill(selector_.largest(values, k_, logits.groups()), /*sorted=*/true);
        const bool all_of_them = array.size == k_ && array.data[k_ - 1].logit > logits.bound();
        return {array, /*is_short=*/true, /*is_cut_off=*/!logits.has_all() && !all_of_them};
    }
    case Kind::kNearLargest: {
        const llama_token_data_array array =
            fill(selector_.near_largest(values, margin_, logits.groups()), /*sorted=*/false);
        const bool all_of_them = max_logit(values) + margin_ > logits.bound();
        return {array, /*is_short=*/true, /*is_cut_off=*/!logits.has_all() && !all_of_them};
    }
    case Kind::kAll:
        break;
    }
    return {fill_with_all(values), /*is_short=*/false};
}

Listed Shortlist::list_allowed(std::span<const float> logits, const Filter &keep_allowed) {
    if (kind_ == Kind::kLargest) {
        llama_token_data_array array = fill(selector_.largest(logits, k_ + kMore), /*sorted=*/true);
        keep_allowed(array);
        if (array.size >= k_) { // no token beyond these is likelier
            array.size = k_;
            return {array, /*is_short=*/true};
        }
    }
    llama_token_data_array array = fill_with_all(logits);
    keep_allowed(array);
    return {array, /*is_short=*/false};
}

} // namespace llamad
