// What each slot is doing, for onlookers.
#pragma once

#include <vector>

#include "core/published.h"
#include "core/slot.h"

namespace llamad {

// Counts only: what a request says is nobody's business but its client's.
struct SlotView {
    enum class State : std::uint8_t { kIdle, kPrefill, kDecode };
    State state = State::kIdle;
    RequestId request = 0;     // 0: idle
    std::int32_t n_prompt = 0; // tokens of the request's prompt
    std::int32_t n_cached = 0; // of these: not computed when it first got a slot
    std::int32_t n_computed =
        0; // tokens in the KV stream; of an idle slot, those that wait for a like request
    std::int32_t n_generated = 0; // tokens sampled
    TimePoint submitted_at;       // of the request
};

// Threading: publish() belongs to the engine thread; read() to anyone.
class SlotWatch {
  public:
    explicit SlotWatch(std::int32_t n_slots) : views_(static_cast<std::size_t>(n_slots)) {}

    void publish(const std::vector<Slot> &slots);

    // By slot. Each view is whole, but one may be older than the other.
    std::vector<SlotView> read() const;

  private:
    std::vector<Published<SlotView>> views_;
};

} // namespace llamad
