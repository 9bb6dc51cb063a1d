// Which tokens' keys and values are held where: in a running slot, in an idle one, in the host store.
#pragma once

#include <memory>
#include <vector>

#include "core/host_store.h"
#include "core/slot.h"

namespace llamad {

// Where the longest usable beginning of a sequence is held.
struct HeldPrefix {
    enum class Where : std::uint8_t { kNowhere, kSlot, kStore };
    Where where = Where::kNowhere;
    std::size_t n_tokens = 0;
    SlotId slot = -1;      // where it is a slot
    EntryId entry = 0;     // where it is the store
    bool in_memory = true; // false: on disk, to be fetched first
    bool copies = true;    // where it is a slot: whether another slot can have it
};

// Below so many tokens, copying, saving or waiting for a prefix costs more than computing it: every chat
// begins with a dozen tokens of its template.
inline constexpr std::size_t kWorthKeeping = 32;

// The index over everything that is held. A sequence gets another's tokens only through an identical
// beginning under the same salt, and at least one of its tokens is left to compute: its logits are needed.
// Reads the slots, owns the store. Belongs to the engine thread.
class PrefixCache {
  public:
    // `slots` must outlive the cache.
    PrefixCache(const std::vector<Slot> &slots, const RunnerLimits &limits, std::unique_ptr<HostStore> store);

    // Of equally long ones a slot goes before the store, an idle slot before a running one, and the slot that
    // holds the least beyond.
    HeldPrefix longest(const Sequence &sequence) const;

    // The same, but an idle slot goes before all that is hardly longer: it is only cut, where others are
    // copied.
    HeldPrefix best(const Sequence &sequence) const;

    // What of the slot's stream the sequence can go on from in that slot.
    std::size_t usable(const Slot &slot, const Sequence &sequence) const;

    // Whether a slot is computing tokens that the sequence would otherwise have to compute as well. `n_held`
    // is what the sequence can have at once: as long as the slot is as far, the tokens take no longer to wait
    // for than to compute, and are computed once. Where it is behind, that is waited for only if as much is
    // saved.
    bool is_coming(const Sequence &sequence, std::size_t n_held) const;

    // Whether what the slot holds should go to the store before it is cut to `n_kept` tokens: if that is
    // worth it, and neither the store nor another slot holds it too.
    bool worth_saving(const Slot &slot, std::size_t n_kept) const;

    HostStore &store() { return *store_; }
    const HostStore &store() const { return *store_; }

    // Lets go of the store and its memory; what is on disk stays there.
    void close_store() { store_ = std::make_unique<HostStore>(HostStore::Limits{}); }

    // Throws std::logic_error that says what is wrong.
    void check_integrity() const;

  private:
    HeldPrefix longest_in_slots(const Sequence &sequence, bool idle_only) const;
    bool copies(const Slot &slot, std::size_t n) const;

    const std::vector<Slot> &slots_;
    const RunnerLimits limits_;
    std::unique_ptr<HostStore> store_;
};

} // namespace llamad
