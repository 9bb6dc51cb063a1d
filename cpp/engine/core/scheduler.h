// Decides which request gets which slot, and which rows are computed next. It decides only: the
// engine carries the decisions out, so the scheduler is tested without a model and without threads.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/admission.h"
#include "core/batch.h"
#include "core/model_runner.h"
#include "core/slot.h"

namespace llamad {

// A waiting request and where it goes.
struct Placement {
    SlotId slot;
    std::size_t n_kept; // tokens of the slot's stream to keep; the rest must be trimmed
};

// Belongs to the engine thread.
class Scheduler {
  public:
    explicit Scheduler(const RunnerLimits &limits);

    Admission &waiting() { return waiting_; }
    const Admission &waiting() const { return waiting_; }
    std::vector<Slot> &slots() { return slots_; }
    Slot &slot(SlotId id) { return slots_[static_cast<std::size_t>(id)]; }

    bool has_work() const;
    std::size_t n_decoding() const;
    std::size_t n_prefilling() const;

    // Where the next waiting request should go; nothing if none waits or no slot is idle.
    //  1. The idle slot whose stream shares the longest beginning with the prompt, if that is half of
    //     either; the few tokens with which every chat begins are not worth another one's prefix,
    //  2. else one whose stream is empty,
    //  3. else the one that has been idle the longest;
    //  4. of several, the lowest: decoding is cheapest in consecutive slots.
    // At least one token of the prompt is left to compute: its logits are needed.
    std::optional<Placement> next_placement() const;

    // Gives the next waiting request the slot of its placement. `n_kept` is what the stream really
    // kept, which is less than planned where the memory could not be trimmed.
    Sequence &place(SlotId slot, std::size_t n_kept);

    // One row for every slot that is decoding.
    Batch plan_decode() const;

    // Prompt tokens to compute next, the oldest request first: n_ubatch of them at most, or
    // `budget_while_decoding` if a request is decoding. A second prompt joins only if it fits in whole,
    // since a part of it would delay the first one's answer and bring its own no nearer.
    Batch plan_prefill(std::size_t budget_while_decoding) const;

    // The rows that are still to be computed: those whose request has neither ended nor fallen
    // behind since the batch was planned.
    Batch still_due(std::span<const Row> rows) const;

    // The running slot with the most tokens; null if none runs.
    Slot *largest();

    // The idle slot that has held on to its stream the longest; null if no idle slot holds any.
    Slot *stalest();

  private:
    RunnerLimits limits_;
    Admission waiting_;
    std::vector<Slot> slots_;
};

} // namespace llamad
