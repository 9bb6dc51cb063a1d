#include "core/slot_watch.h"

namespace llamad {

namespace {

SlotView view_of(const Slot &slot) {
    SlotView view;
    view.n_computed = static_cast<std::int32_t>(slot.cached().size());
    if (slot.idle()) {
        return view;
    }
    const Sequence &sequence = slot.sequence();
    view.state = slot.decoding() ? SlotView::State::kDecode : SlotView::State::kPrefill;
    view.request = sequence.id();
    view.n_prompt = sequence.n_prompt();
    view.n_cached = sequence.n_cached();
    view.n_generated = sequence.n_generated();
    view.submitted_at = sequence.submitted_at();
    return view;
}

} // namespace

void SlotWatch::publish(const std::vector<Slot> &slots) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
        views_[i].store(view_of(slots[i]));
    }
}

std::vector<SlotView> SlotWatch::read() const {
    std::vector<SlotView> views;
    views.reserve(views_.size());
    for (const Published<SlotView> &view : views_) {
        views.push_back(view.load());
    }
    return views;
}

} // namespace llamad
