#include "core/slot.h"

#include <algorithm>
#include <utility>

namespace llamad {

std::span<const TokenId> Slot::pending() const {
    return std::span(sequence_->tokens()).subspan(cached_.size());
}

std::size_t Slot::shared_prefix(std::span<const TokenId> prompt) const {
    return static_cast<std::size_t>(
        std::mismatch(cached_.begin(), cached_.end(), prompt.begin(), prompt.end()).first - cached_.begin());
}

void Slot::start(std::unique_ptr<Sequence> sequence, std::size_t n_kept) {
    sequence_ = std::move(sequence);
    cached_.resize(n_kept);
}

void Slot::advance(std::size_t n) {
    const std::span<const TokenId> done = pending().first(n);
    cached_.insert(cached_.end(), done.begin(), done.end());
}

std::unique_ptr<Sequence> Slot::release() {
    idle_since_ = Clock::now();
    return std::move(sequence_);
}

void Slot::append_rows(std::size_t n, Batch &batch) const {
    const std::span<const TokenId> tokens = pending();
    for (std::size_t i = 0; i < n; ++i) {
        batch.push_back({.token = tokens[i],
                         .pos = static_cast<Pos>(cached_.size() + i),
                         .slot = id_,
                         .wants_logits = i + 1 == tokens.size()});
    }
}

} // namespace llamad
