// Decides which request gets which slot, and which rows are computed next. It decides only: the
// engine carries the decisions out, so the scheduler is tested without a model and without threads.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/admission.h"
#include "core/batch.h"
#include "core/decode_shape.h"
#include "core/model_runner.h"
#include "core/prefix_cache.h"
#include "core/slot.h"

namespace llamad {

// A waiting request, the slot that it gets, and what that slot is to hold when it starts.
struct Placement {
    enum class Source : std::uint8_t { kInPlace, kOtherSlot, kStore };
    RequestId request = 0;
    SlotId slot = -1;
    Source source = Source::kInPlace;
    SlotId from = -1;         // kOtherSlot
    EntryId entry = 0;        // kStore
    std::size_t n_cached = 0; // tokens to go on from; what is held beyond must be trimmed
};

// Belongs to the engine thread.
class Scheduler {
  public:
    Scheduler(const RunnerLimits &limits, std::unique_ptr<HostStore> store);
    Scheduler(const Scheduler &) = delete;
    Scheduler &operator=(const Scheduler &) = delete;
    ~Scheduler() = default;

    Admission &waiting() { return waiting_; }
    const Admission &waiting() const { return waiting_; }
    std::vector<Slot> &slots() { return slots_; }
    const std::vector<Slot> &slots() const { return slots_; }
    Slot &slot(SlotId id) { return slots_[static_cast<std::size_t>(id)]; }
    PrefixCache &prefixes() { return prefixes_; }
    const PrefixCache &prefixes() const { return prefixes_; }

    // Queues a request.
    void admit(std::unique_ptr<Request> request);

    bool has_work() const;
    std::size_t n_decoding() const;
    std::size_t n_prefilling() const;
    // Whether a request that is decoding delivers its tokens as they come.
    bool any_streams() const;

    // Who gets a slot next, in the order of Admission; nothing if no slot is idle or all have to wait on.
    //  1. Who would compute what another slot is computing just now waits for it, and others may pass;
    //  2. so does who finds his prefix on disk: it is asked for here;
    //  3. in a unified cache, who does not fit beside the running ones waits, and nobody may pass.
    // The slot:
    //  4. the idle one that holds the longest prefix, however short, if hardly anything is lost beyond it, or
    //  one worth
    //     keeping if less is lost than elsewhere;
    //  5. else an empty one, else the one that has been idle the longest, filled from where the prefix is;
    //  6. of several, the lowest: decoding is cheapest in consecutive slots.
    std::optional<Placement> next_placement();

    // Gives the request its slot. `n_cached` is what the slot really holds of it, which is less than planned
    // where the memory refused. False: it had a slot before, and lost it by preemption.
    bool place(const Placement &placement, std::size_t n_cached);

    // Takes a running request's slot away; it waits again, with all its tokens.
    void preempt(Slot &slot);

    // One row for every slot that is decoding. llama.cpp computes only *consecutive* slots in one go, so
    // a prompt in their midst adds its next token rather than splitting them in two: 7 rows of SmolLM2 take
    // 42 ms, with a gap 50, with the gap filled 45.
    // Where the limits say so, idle slots add rows whose tokens stand for nothing, and the batch has one of a
    // few shapes: see decode_shape.h.
    Batch plan_decode() const;

    // Prompt tokens to compute next: n_ubatch of them at most, or `budget_while_decoding` if a request is
    // decoding.
    //  1. Lower priority values first.
    //  2. Turns alternate between the oldest prompt and the one of which the least is left: a short one
    //  overtakes a
    //     long one, and the long one has every other turn all the same.
    //  3. Others join only if they fit in whole, since a part would delay the first one's answer and bring
    //     their own no nearer.
    Batch plan_prefill(std::size_t budget_while_decoding);

    // The rows that are still to be computed: those whose request has neither ended nor fallen
    // behind since the batch was planned.
    Batch still_due(std::span<const Row> rows) const;

    // The running slot with the most tokens; null if none runs.
    Slot *largest();

    // The running slot to preempt: the least urgent, and of these the youngest; null if less than two run.
    Slot *youngest();

    // The idle slot that has held on to its stream the longest; null if no idle slot holds any.
    Slot *stalest();

    // Throws std::logic_error that says what is wrong.
    void check_integrity() const;

  private:
    // What a slot of a unified cache had from another one when it started.
    struct Loan {
        SlotId from = -1;
        std::size_t n_tokens = 0;
    };

    Batch plan_padded_decode(const SlotRange &tokens) const;
    std::optional<Placement> placement_of(const Sequence &sequence, const HeldPrefix &held);
    bool costs_nothing(const HeldPrefix &held) const;
    const Slot *slot_to_fill(const HeldPrefix &held) const;
    bool fits(const Sequence &sequence, const HeldPrefix &held) const;
    std::size_t fixed_tokens(const Placement &placement) const;
    std::vector<const Slot *> prompts_in_turn();

    RunnerLimits limits_;
    FairShare shares_;
    Admission waiting_;
    std::vector<Slot> slots_;
    PrefixCache prefixes_;
    std::vector<Loan> loans_; // by slot
    bool oldest_has_turn_ = true;
};

} // namespace llamad
