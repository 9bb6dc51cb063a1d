// KV states that had to leave their slots: in memory, and with a DiskStore also in files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>

#include "core/disk_store.h"
#include "core/greedy_dual.h"
#include "core/kv_state.h"
#include "core/sorted_prefixes.h"
#include "core/stored_prefix.h"

namespace llamad {

// One index over both tiers. Threading: belongs to the engine thread; no method waits for the disk.
class HostStore {
  public:
    struct Limits {
        std::size_t max_bytes = 0; // of the states in memory; 0: the store is off
        bool can_trim = false;     // see RunnerLimits
    };

    struct Match {
        EntryId id = 0;
        std::size_t n_shared =
            0;                  // tokens of the query that the entry holds; with !can_trim all that it holds
        bool in_memory = false; // false: fetch() it first
    };

    explicit HostStore(Limits limits, std::unique_ptr<DiskStore> disk = nullptr);
    HostStore(const HostStore &) = delete;
    HostStore &operator=(const HostStore &) = delete;
    ~HostStore();

    // Keeps a state, evicting the least valuable ones until it fits, and has it written to disk. Entries
    // that have become redundant go: with can_trim those whose tokens are a prefix of another's with the
    // same salt; without, equal ones. A state larger than max_bytes is not kept.
    void put(StoredPrefix prefix, KvState state);

    // With can_trim the entry with the longest beginning in common with `tokens`; without, the longest
    // entry that is wholly a prefix of `tokens`. No more than the first `most` tokens count.
    // Allocates nothing.
    std::optional<Match> match(std::span<const TokenId> tokens, std::string_view salt,
                               std::size_t most) const;

    // The bytes of an entry, or none where it is not in memory; counts as a use. Valid until the next
    // put(), check_in() or drop().
    std::span<const std::byte> state(EntryId id);

    // Asks for an entry that is not in memory to be brought there. Idempotent.
    void fetch(EntryId id);

    // Takes over what the disk's thread has done. Cheap where that is nothing.
    void check_in();

    // Removes an entry and its file: its state was refused.
    void drop(EntryId id);

    bool enabled() const { return limits_.max_bytes > 0; }
    // Whether states outlive the process; then all that are put from now on do, however many come at once.
    bool persist_all();
    std::size_t bytes() const { return bytes_; }              // of the states in memory
    std::size_t n_entries() const { return entries_.size(); } // in either tier
    std::size_t disk_bytes() const { return disk_bytes_; }    // of the files, those not written yet included
    std::uint64_t n_evicted() const { return n_evicted_; }    // states that left memory for want of room

    // Throws std::logic_error naming what is wrong.
    void check_integrity() const;

  private:
    struct Entry;
    using Tier = bool (*)(const Entry &); // is the entry in it?

    Entry *find(EntryId id) const;
    // The entry that makes one of `prefix` redundant, or null.
    Entry *find_holder(const StoredPrefix &prefix) const;
    Entry &add(EntryId id, StoredPrefix prefix, std::size_t state_size);
    void remove(Entry &entry);
    void hold(Entry &entry, std::shared_ptr<const KvState> state);
    void evict_from_memory(Entry &entry);
    void keep_on_disk(Entry &entry, std::size_t file_size);
    void leave_disk(Entry &entry);
    Entry &least_valuable(Tier tier) const; // of the entries in that tier; ties: the oldest
    void refresh(Entry &entry) const;

    void found(DiskEvent event);
    void loaded(DiskEvent event);
    void gone(EntryId id);

    const Limits limits_;
    std::unique_ptr<DiskStore> disk_;
    std::unordered_map<EntryId, std::unique_ptr<Entry>> entries_;
    SortedPrefixes index_;
    EntryId next_id_ = 1;
    GreedyDual greedy_dual_;
    std::size_t bytes_ = 0;
    std::size_t disk_bytes_ = 0;
    std::uint64_t n_evicted_ = 0;
};

} // namespace llamad
