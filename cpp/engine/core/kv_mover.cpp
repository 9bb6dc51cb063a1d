#include "core/kv_mover.h"

#include <utility>

namespace llamad {

std::size_t KvMover::fill(const Placement &placement) {
    Slot &target = scheduler_.slot(placement.slot);
    const bool in_place = placement.source == Placement::Source::kInPlace;
    drop_any_padding(target);
    save_before_cut(target, in_place ? placement.n_cached : 0);
    if (!in_place) {
        clear(target);
    }
    bool filled = in_place || bring(placement);
    if (placement.n_cached == 0 || runner_.limits().can_trim) { // else it is continued as a whole
        filled = filled && runner_.trim(target.id(), static_cast<Pos>(placement.n_cached));
    }
    if (!filled) {
        clear(target);
    }
    put_saved();
    return filled ? placement.n_cached : 0;
}

bool KvMover::bring(const Placement &placement) {
    if (placement.source == Placement::Source::kOtherSlot) {
        drop_any_padding(scheduler_.slot(placement.from));
        const bool copied = runner_.copy(placement.from, placement.slot);
        Metrics::add(metrics_.copied_tokens, copied ? placement.n_cached : 0);
        return copied;
    }
    HostStore &store = scheduler_.prefixes().store();
    const std::span<const std::byte> state = store.state(placement.entry);
    if (state.empty()) {
        return false;
    }
    const bool unified = runner_.limits().unified;
    bool restored = runner_.restore(placement.slot, state);
    Slot *idle = unified ? scheduler_.stalest() : nullptr;
    while (!restored && idle != nullptr) { // the one cache may be full of what idle slots hold
        save_before_cut(*idle, 0);
        clear(*idle);
        restored = runner_.restore(placement.slot, state);
        idle = scheduler_.stalest();
    }
    Metrics::add(metrics_.restored_tokens, restored ? placement.n_cached : 0);
    if (!restored && !unified) {
        store.drop(placement.entry);
    }
    return restored;
}

void KvMover::add_padding(Slot &slot) {
    slot.add_padding();
    if (slot.n_padding() == kMostPadding) {
        drop_padding(slot);
    }
}

void KvMover::drop_padding(std::span<const Row> rows) {
    for (const Row &row : rows) {
        Slot &slot = scheduler_.slot(row.slot);
        if (slot.idle()) {
            drop_padding(slot);
        }
    }
}

void KvMover::drop_padding(Slot &slot) {
    runner_.trim(slot.id(), static_cast<Pos>(slot.cached().size()));
    slot.drop_padding();
}

void KvMover::drop_any_padding(Slot &slot) {
    if (slot.n_padding() > 0) {
        drop_padding(slot);
    }
}

void KvMover::evict(Slot &slot) {
    drop_any_padding(slot);
    save_before_cut(slot, 0);
    clear(slot);
    put_saved();
}

void KvMover::clear(Slot &slot) {
    runner_.trim(slot.id(), 0);
    slot.clear();
}

void KvMover::save_before_cut(const Slot &slot, std::size_t n_kept) {
    if (!scheduler_.prefixes().worth_saving(slot, n_kept)) {
        return;
    }
    KvState state = runner_.save(slot.id());
    if (state.size > 0) {
        saved_.push_back(
            {.prefix = {.tokens = slot.cached(), .salt = slot.salt()}, .state = std::move(state)});
    }
}

void KvMover::put_saved() {
    for (Saved &saved : saved_) {
        scheduler_.prefixes().store().put(std::move(saved.prefix), std::move(saved.state));
    }
    saved_.clear();
}

} // namespace llamad
