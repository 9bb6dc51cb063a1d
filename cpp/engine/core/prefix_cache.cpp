#include "core/prefix_cache.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "core/sorted_prefixes.h"

namespace llamad {

PrefixCache::PrefixCache(const std::vector<Slot> &slots, const RunnerLimits &limits,
                         std::unique_ptr<HostStore> store)
    : slots_(slots), limits_(limits), store_(std::move(store)) {}

HeldPrefix PrefixCache::longest(const Sequence &sequence) const {
    const HeldPrefix in_slot = longest_in_slots(sequence, /*idle_only=*/false);
    const std::vector<TokenId> &tokens = sequence.tokens();
    const auto stored = store_->match(tokens, sequence.salt(), sequence.n_most_cached());
    if (!stored || stored->n_shared <= in_slot.n_tokens) {
        return in_slot;
    }
    return {.where = HeldPrefix::Where::kStore,
            .n_tokens = stored->n_shared,
            .entry = stored->id,
            .in_memory = stored->in_memory};
}

HeldPrefix PrefixCache::best(const Sequence &sequence) const {
    const HeldPrefix held = longest(sequence);
    if (held.where == HeldPrefix::Where::kSlot && slots_[static_cast<std::size_t>(held.slot)].idle()) {
        return held;
    }
    const HeldPrefix idle = longest_in_slots(sequence, /*idle_only=*/true);
    return idle.n_tokens > 0 && held.n_tokens < idle.n_tokens + kWorthKeeping ? idle : held;
}

HeldPrefix PrefixCache::longest_in_slots(const Sequence &sequence, bool idle_only) const {
    HeldPrefix best;
    const auto rank = [](const Slot &slot, std::size_t n) {
        return std::tuple(n, slot.idle(), -static_cast<std::ptrdiff_t>(slot.cached().size()), -slot.id());
    };
    const Slot *best_slot = nullptr;
    for (const Slot &slot : slots_) {
        if (idle_only && !slot.idle()) {
            continue;
        }
        const std::size_t n_usable = usable(slot, sequence);
        const bool copied = copies(slot, n_usable);
        const std::size_t n = slot.idle() || copied ? n_usable : 0;
        if (n > 0 && (best_slot == nullptr || rank(slot, n) > rank(*best_slot, best.n_tokens))) {
            best_slot = &slot;
            best = {.where = HeldPrefix::Where::kSlot, .n_tokens = n, .slot = slot.id(), .copies = copied};
        }
    }
    return best;
}

std::size_t PrefixCache::usable(const Slot &slot, const Sequence &sequence) const {
    if (slot.salt() != sequence.salt()) {
        return 0;
    }
    const std::size_t n_common = common_prefix(slot.cached(), sequence.tokens());
    const std::size_t n = std::min(n_common, sequence.n_most_cached());
    const bool in_whole = n == slot.cached().size();
    return in_whole || (limits_.can_trim && n >= slot.n_fixed()) ? n : 0;
}

// Whether another slot can have the first `n` tokens of this one's.
bool PrefixCache::copies(const Slot &slot, std::size_t n) const {
    return n == slot.cached().size() || !limits_.copies_states() || limits_.can_trim_states;
}

bool PrefixCache::is_coming(const Sequence &sequence, std::size_t n_held) const {
    if (!limits_.can_trim || (limits_.copies_states() && !limits_.can_trim_states)) {
        return false; // the other prompt goes on where the common part ends, and then its state is of no use
                      // here
    }
    return std::any_of(slots_.begin(), slots_.end(), [&](const Slot &slot) {
        if (!slot.prefilling() || slot.salt() != sequence.salt() ||
            slot.sequence().priority() > sequence.priority()) {
            return false;
        }
        const std::size_t n_common = common_prefix(slot.sequence().tokens(), sequence.tokens());
        const std::size_t n_coming = std::min(n_common, sequence.n_most_cached());
        const std::size_t n_there = slot.cached().size();
        return n_coming > n_there && n_coming >= kWorthKeeping && 2 * n_held <= n_coming + n_there;
    });
}

bool PrefixCache::worth_saving(const Slot &slot, std::size_t n_kept) const {
    const std::vector<TokenId> &held = slot.cached();
    if (!store_->enabled() || held.size() < n_kept + kWorthKeeping) {
        return false;
    }
    const bool twice = std::any_of(slots_.begin(), slots_.end(), [&](const Slot &other) {
        return other.id() != slot.id() && other.salt() == slot.salt() &&
               (limits_.can_trim_states || other.cached().size() == held.size()) &&
               common_prefix(other.cached(), held) == held.size();
    });
    const auto stored = store_->match(held, slot.salt(), held.size());
    return !twice && (!stored || stored->n_shared < held.size());
}

void PrefixCache::check_integrity() const {
    for (const Slot &slot : slots_) {
        if (slot.idle()) {
            continue;
        }
        const Sequence &sequence = slot.sequence();
        const bool consistent = slot.cached().size() < sequence.tokens().size() &&
                                common_prefix(slot.cached(), sequence.tokens()) == slot.cached().size() &&
                                slot.salt() == sequence.salt();
        if (!consistent) {
            throw std::logic_error("slot " + std::to_string(slot.id()) + " holds " +
                                   std::to_string(slot.cached().size()) +
                                   " tokens that are not the beginning of its sequence");
        }
    }
    store_->check_integrity();
}

} // namespace llamad
