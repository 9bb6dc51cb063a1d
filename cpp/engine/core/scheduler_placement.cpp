// Which request gets which slot, and what that slot is to hold.
#include <algorithm>
#include <tuple>
#include <utility>

#include "core/scheduler.h"
#include "core/sorted_prefixes.h"

namespace llamad {

namespace {

// Room that a sequence in a unified cache should find beyond its tokens, lest it be preempted in its first
// steps.
constexpr std::size_t kHeadroom = 32;

} // namespace

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

} // namespace llamad
