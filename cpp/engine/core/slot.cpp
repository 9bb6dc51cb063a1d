#include "core/slot.h"

#include <algorithm>
#include <utility>

namespace llamad {

std::span<const TokenId> Slot::pending() const {
    return std::span(sequence_->tokens()).subspan(cached_.size());
}

std::size_t Slot::n_before_scores() const {
    const std::size_t n_pending = pending().size();
    return std::min(n_pending, sequence_->next_score().value_or(cached_.size() + n_pending) - cached_.size());
}

void Slot::start(std::unique_ptr<Sequence> sequence, std::size_t n_cached, std::size_t n_fixed) {
    sequence_ = std::move(sequence);
    const std::vector<TokenId> &tokens = sequence_->tokens();
    cached_.assign(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(n_cached));
    n_fixed_ = n_fixed;
    n_padding_ = 0;
    salt_ = sequence_->salt();
}

void Slot::advance(std::size_t n) {
    const std::span<const TokenId> done = pending().first(n);
    cached_.insert(cached_.end(), done.begin(), done.end());
}

std::unique_ptr<Sequence> Slot::release() {
    idle_since_ = Clock::now();
    return std::move(sequence_);
}

void Slot::clear() {
    cached_.clear();
    n_fixed_ = 0;
    n_padding_ = 0;
}

void Slot::append_padding(Batch &batch) const {
    batch.push_back({.token = 0,
                     .pos = static_cast<Pos>(cached_.size() + n_padding_),
                     .slot = id_,
                     .wants_logits = false});
}

void Slot::append_rows(std::size_t n, Batch &batch) const {
    const std::span<const TokenId> tokens = pending();
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t pos = cached_.size() + i;
        batch.push_back({.token = tokens[i],
                         .pos = static_cast<Pos>(pos),
                         .slot = id_,
                         .wants_logits = i + 1 == tokens.size() || sequence_->wants_score(pos)});
    }
}

} // namespace llamad
