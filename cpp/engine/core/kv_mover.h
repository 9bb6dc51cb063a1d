// Moves keys and values between slots and the host store, as the scheduler has decided.
#pragma once

#include <span>
#include <vector>

#include "core/metrics.h"
#include "core/model_runner.h"
#include "core/scheduler.h"

namespace llamad {

// What a slot loses goes to the host store, where that is worth it. Belongs to the engine thread.
class KvMover {
  public:
    KvMover(ModelRunner &runner, Scheduler &scheduler, Metrics &metrics)
        : runner_(runner), scheduler_(scheduler), metrics_(metrics) {}

    // Makes the placement's slot hold its prefix and nothing else. Returns how many tokens it holds then: 0
    // where the memory refused.
    std::size_t fill(const Placement &placement);

    // A row of an idle slot has been computed that stands for nothing. Not every one is dropped at once.
    void add_padding(Slot &slot);

    // Rows could not be computed: those of idle slots may be half written, and are not tried again.
    void drop_padding(std::span<const Row> rows);

    // Empties a slot, running or idle.
    void evict(Slot &slot);

    // The same for a slot that may hold anything.
    void clear(Slot &slot);

  private:
    struct Saved {
        StoredPrefix prefix;
        KvState state;
    };

    void drop_padding(Slot &slot);
    void drop_any_padding(Slot &slot);
    bool bring(const Placement &placement);
    void save_before_cut(const Slot &slot, std::size_t n_kept);
    void put_saved();

    ModelRunner &runner_;
    Scheduler &scheduler_;
    Metrics &metrics_;
    // Put into the store at the end of each move: that may evict the very entry which is being restored.
    std::vector<Saved> saved_;
};

} // namespace llamad
