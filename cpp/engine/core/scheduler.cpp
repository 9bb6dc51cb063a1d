#include "core/scheduler.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "core/sorted_prefixes.h"

namespace llamad {

namespace {

// Room that a sequence in a unified cache should find beyond its tokens, lest it be preempted in its first
// steps.
constexpr std::size_t kHeadroom = 32;

} // namespace

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

std::optional<Placement> Scheduler::next_placement() {
    if (waiting_.empty() ||
        std::none_of(slots_.begin(), slots_.end(), [](const Slot &s) { return s.idle(); })) {
        return std::nullopt;
    }
    for (const Sequence *sequence : waiting_.in_order()) {
        HeldPrefix held = prefixes_.best(*sequence);
        if (held.n_tokens < kWorthKeeping && !costs_nothing(held)) {
            held = {};
        }
        if (prefixes_.is_coming(*sequence, held.n_tokens)) {
            continue;
        }
        if (limits_.unified && !fits(*sequence, held)) {
            return std::nullopt;
        }
        if (const std::optional<Placement> placement = placement_of(*sequence, held)) {
            return placement;
        }
    }
    return std::nullopt;
}

std::optional<Placement> Scheduler::placement_of(const Sequence &sequence, const HeldPrefix &held) {
    if (!held.in_memory) {
        prefixes_.store().fetch(held.entry);
        return std::nullopt;
    }
    const Slot &target = *slot_to_fill(held);
    Placement placement{.request = sequence.id(), .slot = target.id(), .n_cached = held.n_tokens};
    if (held.where == HeldPrefix::Where::kStore) {
        placement.source = Placement::Source::kStore;
        placement.entry = held.entry;
    } else if (held.where == HeldPrefix::Where::kSlot && held.slot != target.id()) {
        placement.source = Placement::Source::kOtherSlot;
        placement.from = held.slot;
    } else {
        placement.n_cached = prefixes_.usable(target, sequence);
    }
    return placement;
}

// Whether the prefix is in an idle slot that holds hardly anything else.
bool Scheduler::costs_nothing(const HeldPrefix &held) const {
    if (held.where != HeldPrefix::Where::kSlot) {
        return false;
    }
    const Slot &slot = slots_[static_cast<std::size_t>(held.slot)];
    return slot.idle() && slot.cached().size() - held.n_tokens < kWorthKeeping;
}

const Slot *Scheduler::slot_to_fill(const HeldPrefix &held) const {
    const Slot *in_place = nullptr;
    const Slot *other = nullptr;
    const auto rank = [](const Slot &slot) {
        return std::tuple(!slot.cached().empty(), slot.idle_since(), slot.id());
    };
    for (const Slot &slot : slots_) {
        if (!slot.idle()) {
            continue;
        }
        if (held.where == HeldPrefix::Where::kSlot && held.slot == slot.id()) {
            in_place = &slot;
        } else if (other == nullptr || rank(slot) < rank(*other)) {
            other = &slot;
        }
    }
    if (in_place == nullptr || other == nullptr) {
        return in_place != nullptr ? in_place : other;
    }
    const std::size_t n_lost = in_place->cached().size() - held.n_tokens;
    return !held.copies || costs_nothing(held) || n_lost <= other->cached().size() ? in_place : other;
}

// Idle slots do not count, since they give way. What a slot has from another that still runs takes no room of
// its own.
bool Scheduler::fits(const Sequence &sequence, const HeldPrefix &held) const {
    const auto slot_of = [this](SlotId id) -> const Slot & { return slots_[static_cast<std::size_t>(id)]; };
    std::size_t n_used = 0;
    for (const Slot &slot : slots_) {
        if (!slot.idle()) {
            const Loan &loan = loans_[static_cast<std::size_t>(slot.id())];
            const bool shared = loan.n_tokens > 0 && !slot_of(loan.from).idle() &&
                                common_prefix(slot_of(loan.from).cached(), slot.cached()) >= loan.n_tokens;
            n_used += slot.sequence().tokens().size() - (shared ? loan.n_tokens : 0) + kHeadroom;
        }
    }
    const bool borrows = held.where == HeldPrefix::Where::kSlot && !slot_of(held.slot).idle();
    const std::size_t n_needed = sequence.tokens().size() - (borrows ? held.n_tokens : 0) + kHeadroom;
    return n_used == 0 || n_used + n_needed <= static_cast<std::size_t>(limits_.n_ctx);
}

bool Scheduler::place(const Placement &placement, std::size_t n_cached) {
    std::unique_ptr<Sequence> sequence = waiting_.take(placement.request);
    const bool is_first_slot = !sequence->started();
    sequence->start(n_cached);
    sequence->charge(sequence->tokens().size() - n_cached);
    const std::size_t n_fixed = n_cached > 0 ? fixed_tokens(placement) : 0;
    slot(placement.slot).start(std::move(sequence), n_cached, n_fixed);
    const bool borrows = placement.source == Placement::Source::kOtherSlot;
    loans_[static_cast<std::size_t>(placement.slot)] = {.from = placement.from,
                                                        .n_tokens = borrows ? n_cached : 0};
    return is_first_slot;
}

// What the slot holds after the placement and can only keep as a whole.
std::size_t Scheduler::fixed_tokens(const Placement &placement) const {
    const auto of_slot = [this](SlotId id) { return slots_[static_cast<std::size_t>(id)].n_fixed(); };
    switch (placement.source) {
    case Placement::Source::kInPlace:
        return of_slot(placement.slot);
    case Placement::Source::kOtherSlot:
        if (!limits_.copies_states()) {
            return of_slot(placement.from);
        }
        [[fallthrough]];
    case Placement::Source::kStore:
        return limits_.can_trim_states ? 0 : placement.n_cached;
    }
    return 0;
}

void Scheduler::preempt(Slot &slot) { waiting_.push(slot.release()); }

Batch Scheduler::plan_decode() const {
    const auto decoding = [](const Slot &slot) { return slot.decoding(); };
    const auto first = std::find_if(slots_.begin(), slots_.end(), decoding);
    const auto last = std::find_if(slots_.rbegin(), slots_.rend(), decoding).base();
    Batch batch;
    for (auto slot = first; slot < last; ++slot) {
        if (!slot->idle()) {
            slot->append_rows(1, batch);
        }
    }
    return batch;
}

Batch Scheduler::plan_prefill(std::size_t budget_while_decoding) {
    const auto most = static_cast<std::size_t>(std::min(limits_.n_ubatch, limits_.n_batch));
    const std::size_t budget = n_decoding() > 0 ? std::min(budget_while_decoding, most) : most;
    std::vector<std::pair<const Slot *, std::size_t>> chosen;
    std::size_t room = budget;
    // Where a prompt's log-probabilities are asked for, each of its rows has logits; else one a slot may.
    auto room_for_scores = static_cast<std::size_t>(std::max(limits_.n_outputs - limits_.n_slots, 1));
    for (const Slot *slot : prompts_in_turn()) {
        const bool scored = slot->sequence().n_prompt_logprobs() >= 0;
        const std::size_t n_pending = slot->pending().size();
        const std::size_t n_wanted = scored ? std::min(n_pending, room_for_scores) : n_pending;
        if (n_wanted == 0 || (!chosen.empty() && n_wanted > room)) {
            continue;
        }
        chosen.emplace_back(slot, std::min(n_wanted, room));
        room -= chosen.back().second;
        room_for_scores -= scored ? chosen.back().second : 0;
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
