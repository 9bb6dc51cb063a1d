#include "core/scheduler.h"

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "core/decode_shape.h"

namespace llamad {

Scheduler::Scheduler(const RunnerLimits &limits, std::unique_ptr<HostStore> store)
    : limits_(limits), prefixes_(slots_, limits, std::move(store)),
      loans_(static_cast<std::size_t>(limits.n_slots)) {
    for (SlotId id = 0; id < limits.n_slots; ++id) {
        slots_.emplace_back(id);
    }
}

void Scheduler::admit(std::unique_ptr<Request> request) {
    std::shared_ptr<Account> account = shares_.account(request->client);
    waiting_.push(std::make_unique<Sequence>(std::move(request), limits_.n_ctx, std::move(account)));
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

bool Scheduler::any_streams() const {
    return std::any_of(slots_.begin(), slots_.end(),
                       [](const Slot &slot) { return slot.decoding() && slot.sequence().streams(); });
}

void Scheduler::preempt(Slot &slot) { waiting_.push(slot.release()); }

Batch Scheduler::plan_decode() const {
    const auto decoding = [](const Slot &slot) { return slot.decoding(); };
    const auto first = std::find_if(slots_.begin(), slots_.end(), decoding);
    const auto last = std::find_if(slots_.rbegin(), slots_.rend(), decoding).base();
    if (first >= last) {
        return {};
    }
    const SlotRange tokens{.begin = static_cast<std::size_t>(first - slots_.begin()),
                           .end = static_cast<std::size_t>(last - slots_.begin())};
    if (limits_.pads_decodes) {
        return plan_padded_decode(tokens);
    }
    Batch batch;
    for (auto slot = first; slot < last; ++slot) {
        if (!slot->idle()) {
            slot->append_rows(1, batch);
        }
    }
    return batch;
}

Batch Scheduler::plan_padded_decode(const SlotRange &tokens) const {
    const SlotRange range = padded(tokens, n_decoding(), slots_.size());
    std::size_t n_longest = 0;
    for (const Slot &slot : slots_) {
        n_longest = std::max(n_longest, slot.decoding() ? slot.cached().size() + 1 : 0);
    }
    const auto fits = [&](const Slot &slot) {
        return takes_padding(slot.cached().size(), n_longest, static_cast<std::size_t>(limits_.n_ctx));
    };
    Batch batch;
    for (std::size_t i = range.begin; i < std::max(range.end, tokens.end); ++i) {
        const Slot &slot = slots_[i];
        const bool between = i >= tokens.begin && i < tokens.end;
        if (!slot.idle() && (between || fits(slot))) {
            slot.append_rows(1, batch);
        } else if (slot.idle() && i < range.end && fits(slot)) {
            slot.append_padding(batch);
        }
    }
    return batch;
}

Batch Scheduler::plan_prefill(std::size_t budget_while_decoding) {
    const auto most = static_cast<std::size_t>(std::min(limits_.n_ubatch, limits_.n_batch));
    const std::size_t budget = n_decoding() > 0 ? std::min(budget_while_decoding, most) : most;
    std::vector<std::pair<const Slot *, std::size_t>> chosen;
    std::size_t room = budget;
    // Where a prompt's log-probabilities are asked for, each of those rows has logits; else one a slot may.
    auto room_for_scores = static_cast<std::size_t>(std::max(limits_.n_outputs - limits_.n_slots, 1));
    for (const Slot *slot : prompts_in_turn()) {
        const std::size_t n_unscored = slot->n_before_scores();
        const std::size_t n_wanted = std::min(slot->pending().size(), n_unscored + room_for_scores);
        if (n_wanted == 0 || (!chosen.empty() && n_wanted > room)) {
            continue;
        }
        chosen.emplace_back(slot, std::min(n_wanted, room));
        const std::size_t n_chosen = chosen.back().second;
        room -= n_chosen;
        room_for_scores -= n_chosen - std::min(n_chosen, n_unscored);
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

std::vector<const Slot *> Scheduler::prompts_in_turn() {
    std::vector<const Slot *> prompts;
    for (const Slot &slot : slots_) {
        if (slot.prefilling()) {
            prompts.push_back(&slot);
        }
    }
    const auto shorter = [](const Slot *slot) {
        return std::tuple(slot->sequence().priority(), slot->pending().size(), slot->sequence().id());
    };
    std::sort(prompts.begin(), prompts.end(),
              [&](const Slot *a, const Slot *b) { return shorter(a) < shorter(b); });
    const auto older = [](const Slot *slot) {
        return std::tuple(slot->sequence().priority(), slot->sequence().id());
    };
    if (oldest_has_turn_ && !prompts.empty()) {
        const auto oldest =
            std::min_element(prompts.begin(), prompts.end(),
                             [&](const Slot *a, const Slot *b) { return older(a) < older(b); });
        std::rotate(prompts.begin(), oldest, oldest + 1);
    }
    oldest_has_turn_ = !oldest_has_turn_;
    return prompts;
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

Slot *Scheduler::youngest() {
    Slot *youngest = nullptr;
    std::size_t n_running = 0;
    const auto rank = [](const Slot &slot) {
        return std::tuple(slot.sequence().priority(), slot.sequence().id());
    };
    for (Slot &slot : slots_) {
        if (slot.idle()) {
            continue;
        }
        ++n_running;
        if (youngest == nullptr || rank(slot) > rank(*youngest)) {
            youngest = &slot;
        }
    }
    return n_running < 2 ? nullptr : youngest;
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

void Scheduler::check_integrity() const {
    for (const std::unique_ptr<Sequence> &sequence : waiting_.all()) {
        const bool runs = std::any_of(slots_.begin(), slots_.end(), [&](const Slot &slot) {
            return !slot.idle() && slot.sequence().id() == sequence->id();
        });
        if (runs) {
            throw std::logic_error("request " + std::to_string(sequence->id()) + " waits and has a slot");
        }
    }
    prefixes_.check_integrity();
}

} // namespace llamad
