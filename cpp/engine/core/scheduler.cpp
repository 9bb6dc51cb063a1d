#include "core/scheduler.h"

#include <algorithm>
#include <tuple>

namespace llamad {

Scheduler::Scheduler(const RunnerLimits &limits, std::int32_t prefill_chunk)
    : limits_(limits), prefill_chunk_(static_cast<std::size_t>(std::min(prefill_chunk, limits.n_batch))) {
    for (SlotId id = 0; id < limits.n_slots; ++id) {
        slots_.emplace_back(id);
    }
}

bool Scheduler::has_work() const {
    return !waiting_.empty() ||
           std::any_of(slots_.begin(), slots_.end(), [](const Slot &s) { return !s.idle(); });
}

std::optional<Placement> Scheduler::next_placement() const {
    if (waiting_.empty()) {
        return std::nullopt;
    }
    const std::vector<TokenId> &prompt = waiting_.next().prompt;
    const Slot *best = nullptr;
    std::size_t best_prefix = 0;
    for (const Slot &slot : slots_) {
        if (!slot.idle()) {
            continue;
        }
        const std::size_t prefix = slot.shared_prefix(prompt);
        const auto rank = [](const Slot &s, std::size_t shared) {
            return std::tuple(shared, s.cached().empty(), -s.idle_since().time_since_epoch(), -s.id());
        };
        if (best == nullptr || rank(slot, prefix) > rank(*best, best_prefix)) {
            best = &slot;
            best_prefix = prefix;
        }
    }
    if (best == nullptr) {
        return std::nullopt;
    }
    return Placement{.slot = best->id(), .n_kept = std::min(best_prefix, prompt.size() - 1)};
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

Batch Scheduler::plan_prefill() const {
    std::vector<const Slot *> prompts;
    bool someone_decodes = false;
    for (const Slot &slot : slots_) {
        someone_decodes = someone_decodes || slot.decoding();
        if (slot.prefilling()) {
            prompts.push_back(&slot);
        }
    }
    std::sort(prompts.begin(), prompts.end(),
              [](const Slot *a, const Slot *b) { return a->sequence().id() < b->sequence().id(); });

    const std::size_t budget = someone_decodes
                                   ? prefill_chunk_
                                   : static_cast<std::size_t>(std::min(limits_.n_ubatch, limits_.n_batch));
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

} // namespace llamad
