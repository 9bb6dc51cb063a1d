#include <memory>
#include <string>

#include "check.h"
#include "desk.h"
#include "fake_runner.h"

#include "core/kv_mover.h"

using namespace llamad;

namespace {

using Source = Placement::Source;

constexpr RunnerLimits kLimits{.n_slots = 3, .n_ctx = 256, .n_batch = 256, .n_ubatch = 256};
const std::string stem(40, 's'); // worth keeping
const std::string tail(40, 't');
const std::string other_text(50, 'o');

// Slots with real streams, and a store.
struct Warehouse {
    explicit Warehouse(std::size_t n_stored_tokens = 1000, const RunnerLimits &limits = kLimits)
        : model(limits),
          scheduler(limits, make_store(n_stored_tokens * sizeof(KvCell), limits.can_trim_states)) {}

    // The slot is idle and holds that.
    void hold(SlotId slot, std::string_view tokens) {
        Slot &one = scheduler.slot(slot);
        mover.clear(one);
        one.start(std::make_unique<Sequence>(make_request(tokens, 9), 256, std::make_shared<Account>()), 0);
        Batch rows;
        one.append_rows(tokens.size(), rows);
        CHECK_EQ(runner.decode(rows), DecodeStatus::kOk);
        one.advance(tokens.size());
        one.release();
    }
    // Saves a state, and keeps no slot with it.
    EntryId store(std::string_view tokens) {
        hold(2, tokens);
        mover.evict(scheduler.slot(2));
        return stored(tokens);
    }
    EntryId stored(std::string_view tokens) const {
        const auto match = scheduler.prefixes().store().match(tokens_of(tokens), "", tokens.size());
        return match && match->n_shared == tokens.size() ? match->id : 0;
    }
    // What the slot holds after it has been filled: as many tokens as fill() says.
    std::string fill(const Placement &placement) {
        const std::size_t n = mover.fill(placement);
        CHECK_EQ(runner.cells(placement.slot).size(), n);
        return text(placement.slot);
    }
    std::string text(SlotId slot) const {
        const Tokens tokens = runner.tokens(slot);
        return {tokens.begin(), tokens.end()};
    }
    std::size_t n_stored() const { return scheduler.prefixes().store().n_entries(); }

    FakeModel model;
    FakeRunner runner{model};
    Scheduler scheduler;
    Metrics metrics;
    KvMover mover{runner, scheduler, metrics};
};

} // namespace

TEST("in place: what is beyond is trimmed") {
    Warehouse house;
    house.hold(0, stem + "abc");
    CHECK_EQ(house.fill({.slot = 0, .n_cached = 40}), stem);
    CHECK_EQ(house.n_stored(), 0); // three tokens are not worth it
    CHECK_EQ(house.metrics.copied_tokens + house.metrics.restored_tokens, 0);
}

TEST("in place: a long rest is saved before, with its beginning") {
    Warehouse house;
    house.hold(0, stem + tail);
    CHECK_EQ(house.fill({.slot = 0, .n_cached = 40}), stem);
    CHECK(house.stored(stem + tail) != 0);
}

TEST("from another slot: the source keeps what it has, and the target's is saved") {
    Warehouse house;
    house.hold(0, stem + tail);
    house.hold(1, other_text);
    CHECK_EQ(house.fill({.slot = 1, .source = Source::kOtherSlot, .from = 0, .n_cached = 40}), stem);
    CHECK_EQ(house.text(0), stem + tail);
    CHECK(house.stored(other_text) != 0);
    CHECK_EQ(house.n_stored(), 1);
    CHECK_EQ(house.metrics.copied_tokens.load(), 40);
}

TEST("from the store: the entry stays") {
    Warehouse house;
    const EntryId entry = house.store(stem + tail);
    house.hold(0, other_text);
    CHECK_EQ(house.fill({.slot = 0, .source = Source::kStore, .entry = entry, .n_cached = 40}), stem);
    CHECK_EQ(house.stored(stem + tail), entry);
    CHECK(house.stored(other_text) != 0);
    CHECK_EQ(house.metrics.restored_tokens.load(), 40);
}

TEST("from a store that is full: what is put away for it does not push it out before") {
    Warehouse house(/*n_stored_tokens=*/80);
    const EntryId entry = house.store(stem);
    house.hold(0, other_text);
    CHECK_EQ(house.fill({.slot = 0, .source = Source::kStore, .entry = entry, .n_cached = 40}), stem);
    CHECK_EQ(house.n_stored(), 1); // either, by value
}

TEST("a copy that is refused leaves an empty slot") {
    Warehouse house;
    house.hold(0, stem);
    house.hold(1, other_text);
    house.model.can_copy = false;
    CHECK_EQ(house.fill({.slot = 1, .source = Source::kOtherSlot, .from = 0, .n_cached = 40}), "");
    CHECK(house.scheduler.slot(1).cached().empty());
    CHECK_EQ(house.metrics.copied_tokens.load(), 0);
    CHECK(house.stored(other_text) != 0);
}

TEST("a state that is refused is dropped, but not where a unified cache may just be full") {
    for (const bool unified : {false, true}) {
        RunnerLimits limits = kLimits;
        limits.unified = unified;
        Warehouse house(1000, limits);
        const EntryId entry = house.store(stem);
        house.model.can_restore = false;
        CHECK_EQ(house.fill({.slot = 0, .source = Source::kStore, .entry = entry, .n_cached = 40}), "");
        CHECK_EQ(house.stored(stem) != 0, unified);
        CHECK_EQ(house.metrics.restored_tokens.load(), 0);
    }
}

TEST("an entry that has gone meanwhile leaves an empty slot") {
    Warehouse house;
    house.hold(0, other_text);
    CHECK_EQ(house.fill({.slot = 0, .source = Source::kStore, .entry = 99, .n_cached = 40}), "");
}

TEST("nothing to keep: the slot is emptied, and what it held is saved") {
    Warehouse house;
    house.hold(0, other_text);
    CHECK_EQ(house.fill({.slot = 0, .n_cached = 0}), "");
    CHECK(house.stored(other_text) != 0);
}

TEST("without trimming a stream is taken as a whole, from wherever it is") {
    Warehouse house(1000, with_memory(Memory::kRecurrent, kLimits));
    const EntryId entry = house.store(tail);
    house.hold(0, stem);
    CHECK_EQ(house.fill({.slot = 0, .n_cached = 40}), stem);
    CHECK_EQ(house.fill({.slot = 1, .source = Source::kOtherSlot, .from = 0, .n_cached = 40}), stem);
    CHECK_EQ(house.fill({.slot = 2, .source = Source::kStore, .entry = entry, .n_cached = 40}), tail);
    house.hold(1, other_text);
    CHECK_EQ(house.fill({.slot = 1, .n_cached = 0}), "");
}

TEST("an evicted slot is empty, and what it held is in the store once") {
    Warehouse house;
    house.hold(0, stem);
    house.hold(1, stem + tail);
    house.mover.evict(house.scheduler.slot(0)); // the other slot has it too
    CHECK_EQ(house.n_stored(), 0);
    house.mover.evict(house.scheduler.slot(1));
    CHECK(house.stored(stem + tail) != 0);
    CHECK_EQ(house.text(1), "");
    CHECK(house.scheduler.slot(1).cached().empty());
    house.hold(0, stem);
    house.mover.evict(house.scheduler.slot(0));
    CHECK_EQ(house.n_stored(), 1);
}

TEST("of two slots with the same stream the last one to go is saved") {
    Warehouse house;
    house.hold(0, stem);
    house.hold(1, stem);
    house.mover.evict(house.scheduler.slot(0));
    CHECK_EQ(house.n_stored(), 0);
    house.mover.evict(house.scheduler.slot(1));
    CHECK_EQ(house.n_stored(), 1);
}

TEST("a cleared slot is empty, and nothing is saved") {
    Warehouse house;
    house.hold(1, other_text);
    house.mover.clear(house.scheduler.slot(1));
    CHECK_EQ(house.stored(other_text), 0);
    CHECK_EQ(house.text(1), "");
    CHECK(house.scheduler.slot(1).cached().empty());
}

TEST("what cannot be saved is lost, and nothing else happens") {
    Warehouse house;
    house.model.can_save = false;
    house.hold(0, stem);
    house.mover.evict(house.scheduler.slot(0));
    CHECK_EQ(house.n_stored(), 0);
    CHECK_EQ(house.text(0), "");
}
