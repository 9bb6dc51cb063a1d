#include "core/scheduler.h"

#include <algorithm>
#include <tuple>

namespace llamad {

Scheduler::Scheduler(const RunnerLimits &limits) : limits_(limits) {
    for (SlotId id = 0; id < limits.n_slots; ++id) {
        slots_.emplace_back(id);
    }
}

bool Scheduler::has_work() const {
    return !waiting_.empty() ||
           std::any_of(slots_.begin(), slots_.end(), [](const Slot &s) { return !s.idle(); });
}

std::size_t Scheduler::n_decoding() const {
    return static_cast<std::size_t>(
        std::count_if(slots_.begin(), slots_.end(), [](const Slot &slot) { return slot.decoding(); }));
}

std::size_t Scheduler::n_prefilling() const {
    return static_cast<std::size_t>(
        std::count_if(slots_.begin(), slots_.end(), [](const Slot &slot) { return slot.prefilling(); }));
}

std::optional<Placement> Scheduler::next_placement() const {
    if (waiting_.empty()) {
        return std::nullopt;
    }
    const std::vector<TokenId> &prompt = waiting_.next().prompt;
    const auto rank = [&prompt](const Slot &slot) {
        const std::size_t shared = slot.shared_prefix(prompt);
        const bool worth_keeping = 2 * shared >= std::min(prompt.size(), slot.cached().size());
        return std::tuple(worth_keeping ? shared : 0, slot.cached().empty(),
                          -slot.idle_since().time_since_epoch(), -slot.id());
    };
    const Slot *best = nullptr;
    decltype(rank(slots_.front())) best_rank;
    for (const Slot &slot : slots_) {
        if (!slot.idle()) {
            continue;
        }
        const auto slot_rank = rank(slot);
        if (best == nullptr || slot_rank > best_rank) {
            best = &slot;
            best_rank = slot_rank;
        }
    }
    if (best == nullptr) {
        return std::nullopt;
    }
    return Placement{.slot = best->id(), .n_kept = std::min(best->shared_prefix(prompt), prompt.size() - 1)};
}

Sequence &Scheduler::place(SlotId id, std::size_t n_kept) {
    slot(id).start(
        std::make_unique<Sequence>(waiting_.pop(), limits_.n_ctx, static_cast<std::int32_t>(n_kept)), n_kept);
    return slot(id).sequence();
}

Batch Scheduler::plan_decode() const {
    Batch batch;
    for (const Slot &slot : slots_) {
        if (slot.decoding()) {
            slot.append_rows(1, batch);
        }
    }
    return batch;
}

Batch Scheduler::plan_prefill(std::size_t budget_while_decoding) const {
    std::vector<const Slot *> prompts;
    for (const Slot &slot : slots_) {
        if (slot.prefilling()) {
            prompts.push_back(&slot);
        }
    }
    std::sort(prompts.begin(), prompts.end(),
              [](const Slot *a, const Slot *b) { return a->sequence().id() < b->sequence().id(); });

    const auto most = static_cast<std::size_t>(std::min(limits_.n_ubatch, limits_.n_batch));
    const std::size_t budget = n_decoding() > 0 ? std::min(budget_while_decoding, most) : most;
    std::vector<std::pair<const Slot *, std::size_t>> chosen;
    std::size_t room = budget;
    for (const Slot *slot : prompts) {
        const std::size_t n_pending = slot->pending().size();
        if (!chosen.empty() && n_pending > room) {
            continue;
        }
        chosen.emplace_back(slot, std::min(n_pending, room));
        room -= chosen.back().second;
    }
    std::sort(chosen.begin(), chosen.end(),
              [](const auto &a, const auto &b) { return a.first->id() < b.first->id(); });
    Batch batch;
    batch.reserve(budget - room);
    for (const auto &[slot, n_tokens] : chosen) {
        slot->append_rows(n_tokens, batch);
    }
    return batch;
}

Batch Scheduler::still_due(std::span<const Row> rows) const {
    std::vector<Pos> next(slots_.size(), -1);
    for (const Slot &slot : slots_) {
        if (!slot.idle()) {
            next[static_cast<std::size_t>(slot.id())] = static_cast<Pos>(slot.cached().size());
        }
    }
    Batch due;
    for (const Row &row : rows) {
        if (next[static_cast<std::size_t>(row.slot)] == row.pos) {
            ++next[static_cast<std::size_t>(row.slot)];
            due.push_back(row);
        }
    }
    return due;
}

Slot *Scheduler::largest() {
    Slot *largest = nullptr;
    for (Slot &slot : slots_) {
        if (!slot.idle() && (largest == nullptr || slot.cached().size() > largest->cached().size())) {
            largest = &slot;
        }
    }
    return largest;
}

Slot *Scheduler::stalest() {
    Slot *stalest = nullptr;
    for (Slot &slot : slots_) {
        const bool holds_some = slot.idle() && !slot.cached().empty();
        if (holds_some && (stalest == nullptr || slot.idle_since() < stalest->idle_since())) {
            stalest = &slot;
        }
    }
    return stalest;
}

} // namespace llamad
