// Who gets which slot. What is computed next is in test_scheduler_batches.
#include <memory>
#include <stdexcept>
#include <string>

#include "check.h"
#include "desk.h"
#include "store_rig.h"

using namespace llamad;

namespace {

const std::string stem(40, 's');       // worth keeping
const std::string short_text(10, 's'); // not worth it

RunnerLimits unified(std::int32_t n_cells) {
    RunnerLimits limits = kDeskLimits;
    limits.unified = true;
    limits.n_ctx = n_cells;
    return limits;
}

} // namespace

TEST("a placement needs a request and an idle slot") {
    Desk desk;
    CHECK(!desk.scheduler.has_work());
    CHECK(!desk.scheduler.next_placement());
    for (SlotId slot = 0; slot < kDeskLimits.n_slots; ++slot) {
        desk.wait("abc");
        CHECK(desk.scheduler.has_work());
        CHECK_EQ(desk.place().slot, slot); // rule 6: the lowest
    }
    desk.wait("abc");
    CHECK(!desk.scheduler.next_placement());
    desk.scheduler.slot(2).release();
    CHECK_EQ(desk.place().slot, 2);
    CHECK(desk.scheduler.waiting().empty());
    CHECK(desk.scheduler.has_work());
}

TEST("requests come in the order of admission: urgency, then the client's share") {
    Desk desk;
    const RequestId first = desk.wait("aaa", {.client = "busy"});
    const RequestId second = desk.wait("bbb", {.client = "busy"});
    const RequestId other = desk.wait("ccc", {.client = "quiet"});
    const RequestId urgent = desk.wait("ddd", {.priority = -1, .client = "busy"});
    CHECK_EQ(desk.place().request, urgent); // charges its client with three tokens
    CHECK_EQ(desk.place().request, other);
    CHECK_EQ(desk.place().request, first); // level again
    CHECK_EQ(desk.place().request, second);
}

TEST("a client is charged with the tokens that it does not find") {
    Desk desk;
    desk.leave(0, stem);
    desk.wait(stem + "A", {.client = "cached"});
    desk.wait("BBBBB", {.client = "cached"});
    desk.wait("CCC", {.client = "new"});
    CHECK_EQ(desk.place().slot, 0); // one token
    CHECK_EQ(desk.place().n_cached, 0);
    CHECK_EQ(desk.scheduler.slot(0).sequence().served(), 1.0);
    CHECK_EQ(desk.scheduler.slot(1).sequence().served(), 3.0); // of "new"
}

TEST("rule 1: who would compute what is being computed waits, and others pass") {
    Desk desk;
    CHECK_EQ(desk.place(stem + "A"), "slot 0: 0");
    const RequestId waiter = desk.wait(stem + "B");
    CHECK_EQ(desk.next(), 0);
    CHECK_EQ(desk.place("another"), "slot 1: 0");
    desk.scheduler.slot(0).advance(39);
    CHECK_EQ(desk.next(), 0);
    desk.scheduler.slot(0).advance(1);
    const Placement placement = desk.place();
    CHECK_EQ(placement.request, waiter);
    CHECK_EQ(show(placement), "slot 2: 40 from slot 0");
}

TEST("rule 1: a short beginning is not waited for") {
    Desk desk;
    CHECK_EQ(desk.place(short_text + "A"), "slot 0: 0");
    CHECK_EQ(desk.place(short_text + "B"), "slot 1: 0");
}

TEST("rule 1: when the first one ends early, one of the waiters goes on and the others wait for it") {
    Desk desk;
    desk.place(stem + stem + "A");
    const RequestId heir = desk.wait(stem + stem + "B");
    const RequestId other = desk.wait(stem + stem + "C");
    desk.scheduler.slot(0).advance(37);
    CHECK_EQ(desk.next(), 0);
    desk.scheduler.slot(0).release();
    const Placement placement = desk.place();
    CHECK_EQ(placement.request, heir);
    CHECK_EQ(show(placement), "slot 0: 37");
    CHECK_EQ(desk.next(), 0);
    desk.scheduler.slot(0).advance(43);
    CHECK_EQ(desk.next(), other);
}

TEST("rule 1: nobody waits for one that is less urgent") {
    Desk desk;
    desk.place(stem + "A", {.priority = 1});
    CHECK_EQ(desk.place(stem + "B", {.priority = 0}), "slot 1: 0");
}

TEST("rule 2: who finds his prefix on disk waits for it, and others pass") {
    const TemporaryDirectory directory;
    auto disk = std::make_unique<DiskStore>(
        DiskStore::Options{.directory = directory.path(), .identity = "model", .max_bytes = 1 << 20});
    Desk desk(kDeskLimits, std::make_unique<HostStore>(HostStore::Limits{.max_bytes = 100, .can_trim = true},
                                                       std::move(disk)));
    HostStore &store = desk.scheduler.prefixes().store();
    store.put(prefix_of(stem), state_of("stem"));
    store.put(prefix_of("another prefix, which the memory keeps"), state_of("other")); // room for one
    const RequestId waiter = desk.wait(stem + "A");
    CHECK_EQ(desk.next(), 0);
    CHECK_EQ(desk.place("B"), "slot 0: 0");
    CHECK(eventually([&] {
        store.check_in();
        return desk.next() != 0;
    }));
    const Placement placement = desk.place();
    CHECK_EQ(placement.request, waiter);
    CHECK_EQ(show(placement), "slot 1: 40 from the store");
    CHECK_EQ(label_of(store.state(placement.entry)), "/stem");
}

TEST("rule 3: in a unified cache who does not fit waits, and nobody passes") {
    Desk desk(unified(150));
    desk.place(std::string(60, 'a')); // and room for 32 more
    const RequestId large = desk.wait(std::string(27, 'b'));
    desk.wait("c");
    CHECK_EQ(desk.next(), 0);
    CHECK_EQ(desk.place("d", {.priority = -1}), "slot 1: 0"); // who comes before may
    desk.scheduler.slot(1).release();
    desk.scheduler.slot(0).release();
    CHECK_EQ(desk.next(), large);
}

TEST("rule 3: idle slots give way, and one alone fits always") {
    Desk desk(unified(100));
    desk.leave(0, std::string(90, 'x'));
    CHECK_EQ(desk.place(std::string(99, 'a')), "slot 1: 0");
    desk.wait("b");
    CHECK_EQ(desk.next(), 0);
}

TEST("rule 3: what is shared takes room once") {
    for (const bool shared : {true, false}) {
        Desk desk(unified(150));
        const std::string prompt(80, 'a');
        desk.place(prompt + "A");
        desk.scheduler.slot(0).advance(80);
        desk.wait(shared ? prompt + "B" : std::string(80, 'b') + "B");
        CHECK_EQ(desk.next() != 0, shared);
    }
}

TEST("rule 4: the idle slot that holds the longest prefix, if little is lost beyond") {
    Desk desk;
    desk.leave(0, stem.substr(5));
    desk.leave(2, stem + std::string(31, 'x'));
    desk.leave(3, stem + std::string(31, 'y'));
    CHECK_EQ(desk.place(stem + "A"), "slot 2: 40");
}

TEST("rule 4: or less than in the slot that would be emptied instead") {
    Desk desk;
    desk.leave(0, stem + std::string(50, 'x'));
    for (const SlotId slot : {1, 2, 3}) {
        desk.leave(slot, std::string(60, 'z'));
    }
    CHECK_EQ(desk.place(stem + "A"), "slot 0: 40");
}

TEST("rule 5: else an empty slot, filled from where the prefix is") {
    Desk desk(kDeskLimits, make_store(1000));
    desk.scheduler.prefixes().store().put(prefix_of(std::string(40, 't')), state_of("t"));
    desk.leave(0, stem + std::string(50, 'x'));
    desk.leave(1, "yyy");
    CHECK_EQ(desk.place(stem + "A"), "slot 2: 40 from slot 0");
    CHECK_EQ(desk.place(std::string(40, 't') + "A"), "slot 3: 40 from the store");
}

TEST("rule 5: else the slot that has been idle the longest") {
    Desk desk;
    for (const SlotId slot : {2, 0, 3, 1}) {
        desk.leave(slot, "xyz");
    }
    for (const SlotId slot : {2, 0, 3, 1}) {
        CHECK_EQ(desk.place("abc"), "slot " + std::to_string(slot) + ": 0");
    }
}

TEST("rule 5: a running slot is copied from, also while it generates") {
    Desk desk;
    desk.place(stem + "A");
    desk.answer(0, 'x');
    CHECK_EQ(desk.place(stem + "AxB"), "slot 1: 41 from slot 0"); // its last token is not computed yet
    CHECK_EQ(desk.place(stem), "slot 2: 39 from slot 0");
}

TEST("rule 4: a short prefix, where hardly anything is lost beyond it") {
    Desk desk;
    desk.leave(2, "<chat>how are you today?");
    CHECK_EQ(desk.place("<chat>why is the sky blue?"), "slot 2: 6");
}

TEST("a beginning that all chats share costs nobody a conversation, and is kept where it is") {
    Desk desk;
    const std::string conversation = "<chat>how are you today? " + stem;
    desk.leave(0, conversation);
    CHECK_EQ(desk.place("<chat>why is the sky blue?"), "slot 1: 0"); // nor is it copied
    desk.scheduler.slot(1).release();
    for (const SlotId slot : {1, 2, 3}) {
        desk.leave(slot, "another conversation, " + stem);
    }
    CHECK_EQ(desk.place("<chat>why is the sky blue?"), "slot 0: 6"); // the stalest
}

TEST("without trimming a stream is continued as a whole or emptied") {
    RunnerLimits limits = with_memory(Memory::kRecurrent, kDeskLimits);
    limits.n_slots = 1;
    Desk desk(limits);
    desk.leave(0, stem + "A");
    CHECK_EQ(desk.place(stem + "B"), "slot 0: 0");
    desk.scheduler.slot(0).release();
    desk.leave(0, stem + "A");
    CHECK_EQ(desk.place(stem + "AB"), "slot 0: 41");
}

TEST("with a sliding window, what came from a state is kept as a whole, and what was computed is not copied "
     "in parts") {
    Desk desk(with_memory(Memory::kSlidingWindow, kDeskLimits), make_store(1000, /*can_trim=*/false));
    desk.scheduler.prefixes().store().put(prefix_of(stem), state_of("stem"));
    CHECK_EQ(desk.place(stem + "ABC"), "slot 0: 40 from the store");
    CHECK_EQ(desk.scheduler.slot(0).n_fixed(), 40);
    desk.scheduler.slot(0).advance(2);
    CHECK_EQ(desk.place(stem + "ABX"), "slot 1: 42 from slot 0"); // all that it holds
    CHECK_EQ(desk.scheduler.slot(1).n_fixed(), 42);
    desk.scheduler.slot(0).advance(1);
    desk.scheduler.slot(0).release();
    desk.scheduler.slot(1).release();
    CHECK_EQ(desk.place(stem + "AYY"), "slot 0: 41"); // in place, behind what came from the state
    CHECK_EQ(desk.scheduler.slot(0).n_fixed(), 40);
    desk.scheduler.slot(0).advance(1);
    CHECK_EQ(desk.place(stem + "AZ"), "slot 2: 40 from the store"); // not the 41 of a slot that has 42 fixed
}

TEST("a preempted request keeps its tokens, comes first, and starts again where it gets most") {
    Desk desk;
    desk.place(stem + "A");
    desk.answer(0, 'x');
    desk.wait("another");
    desk.scheduler.preempt(desk.scheduler.slot(0));
    CHECK_EQ(desk.scheduler.waiting().size(), 2);
    CHECK_EQ(desk.scheduler.slot(0).cached(), tokens_of(stem + "A"));
    const std::optional<Placement> placement = desk.scheduler.next_placement();
    REQUIRE(placement.has_value());
    CHECK_EQ(placement->request, 1);
    CHECK_EQ(show(*placement), "slot 0: 41");
    CHECK(!desk.scheduler.place(*placement, 41)); // not its first slot
    CHECK(desk.scheduler.slot(0).decoding());
    const std::optional<Placement> next = desk.scheduler.next_placement();
    REQUIRE(next.has_value());
    CHECK(desk.scheduler.place(*next, 0));
}

TEST("who waits and runs at once is noticed") {
    Desk desk;
    desk.place("abc");
    desk.last_id = 0;
    desk.wait("abc"); // with the same id
    CHECK_THROWS(std::logic_error, desk.scheduler.check_integrity());
}
