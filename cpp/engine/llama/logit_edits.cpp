#include "llama/logit_edits.h"

#include <algorithm>
#include <ranges>

namespace llamad {

LogitEdits::LogitEdits(std::vector<std::pair<TokenId, float>> bias, const SamplingParams &params,
                       std::int32_t n_vocab, std::int32_t look_back)
    : bias_(std::move(bias)),
      only_lowers_(std::ranges::all_of(bias_, [](const auto &entry) { return entry.second <= 0; })),
      look_back_(static_cast<std::size_t>(look_back)) {
    const bool neutral =
        params.repeat_penalty == 1 && params.frequency_penalty == 0 && params.presence_penalty == 0;
    if (look_back > 0 && !neutral) {
        only_lowers_ = only_lowers_ && params.repeat_penalty >= 1 && params.frequency_penalty >= 0 &&
                       params.presence_penalty >= 0;
        penalties_.reset(llama_sampler_init_penalties(n_vocab, look_back, params.repeat_penalty,
                                                      params.frequency_penalty, params.presence_penalty));
    }
}

void LogitEdits::edit(float &logit, float edited) {
    before_.emplace_back(&logit, std::exchange(logit, edited));
}

void LogitEdits::apply(LogitRow logits) {
    before_.clear();
    for (const auto &[token, bias] : bias_) {
        if (float *logit = logits.find(token)) {
            edit(*logit, *logit + bias);
        }
    }
    if (penalties_ == nullptr) {
        return;
    }
    penalized_.clear();
    for (const auto &[token, count] : counts_) {
        if (const float *logit = logits.find(token)) {
            penalized_.push_back({token, *logit, 0.0F});
        }
    }
    llama_token_data_array array{penalized_.data(), penalized_.size(), -1, false};
    llama_sampler_apply(penalties_.get(), &array);
    for (const llama_token_data &candidate : penalized_) {
        edit(*logits.find(candidate.id), candidate.logit);
    }
}

void LogitEdits::undo() noexcept {
    // Backwards, so that a token that was edited twice gets its first value again.
    for (const auto &[where, logit] : std::views::reverse(before_)) {
        *where = logit;
    }
    before_.clear();
}

void LogitEdits::accept(TokenId token) {
    if (penalties_ == nullptr) {
        return;
    }
    llama_sampler_accept(penalties_.get(), token);
    ++counts_[token];
    if (recent_.size() < look_back_) {
        recent_.push_back(token);
        return;
    }
    const auto leaving = counts_.find(std::exchange(recent_[oldest_], token));
    if (--leaving->second == 0) {
        counts_.erase(leaving);
    }
    oldest_ = (oldest_ + 1) % look_back_;
}

} // namespace llamad
