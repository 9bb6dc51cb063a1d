#include <sstream>
#include <string>
#include <string_view>

#include "check.h"
#include "engine_rig.h"

#include "core/scheduler.h"

using namespace llamad;

namespace {

constexpr RunnerLimits kLimits{.n_slots = 4, .n_ctx = 64, .n_batch = 16, .n_ubatch = 12};
constexpr std::size_t kChunk = 4;

// A scheduler whose decisions are carried out at once, without a model.
struct Desk {
    explicit Desk(const RunnerLimits &limits = kLimits) : scheduler(limits) {}

    void wait(std::string_view prompt) {
        auto request = make_request(prompt, 50);
        request->id = ++last_id;
        scheduler.waiting().push(std::move(request));
    }
    // Places the next waiting request where the scheduler wants it.
    Placement place() {
        const std::optional<Placement> placement = scheduler.next_placement();
        REQUIRE(placement.has_value());
        scheduler.place(placement->slot, placement->n_kept);
        return *placement;
    }
    // Computes the prompt in `slot` and samples `token`.
    void answer(SlotId slot, TokenId token) {
        scheduler.slot(slot).advance(scheduler.slot(slot).pending().size());
        scheduler.slot(slot).sequence().append(token, *runner);
    }
    // Leaves a stream that holds `tokens` in an idle slot.
    void leave(SlotId slot, std::string_view tokens) {
        scheduler.slot(slot).start(std::make_unique<Sequence>(make_request(tokens, 9), kLimits.n_ctx, 0), 0);
        scheduler.slot(slot).advance(tokens.size());
        scheduler.slot(slot).release();
    }

    Scheduler scheduler;
    FakeModel model;
    std::unique_ptr<ModelRunner> runner = model.runner();
    RequestId last_id = 0;
};

// "slot:token@pos", with a ! where logits are wanted.
std::string show(const Batch &batch) {
    std::ostringstream text;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const Row &row = batch[i];
        text << (i > 0 ? " " : "") << row.slot << ':' << static_cast<char>(row.token) << '@' << row.pos
             << (row.wants_logits ? "!" : "");
    }
    return text.str();
}

} // namespace

TEST("a placement needs a request and an idle slot") {
    Desk desk;
    CHECK(!desk.scheduler.has_work());
    CHECK(!desk.scheduler.next_placement());
    for (SlotId slot = 0; slot < kLimits.n_slots; ++slot) {
        desk.wait("abc");
        CHECK(desk.scheduler.has_work());
        CHECK_EQ(desk.place().slot, slot); // rule 4: the lowest
    }
    desk.wait("abc");
    CHECK(!desk.scheduler.next_placement());
    desk.scheduler.slot(2).release();
    CHECK_EQ(desk.place().slot, 2);
    CHECK(desk.scheduler.waiting().empty());
    CHECK(desk.scheduler.has_work());
}

TEST("rule 1: the longest common beginning") {
    Desk desk;
    desk.leave(0, "ab");
    desk.leave(1, "abcX");
    desk.leave(2, "abcdefY");
    desk.wait("abcdefgh");
    const Placement placement = desk.place();
    CHECK_EQ(placement.slot, 2);
    CHECK_EQ(placement.n_kept, 6);
    desk.wait("abcdefgh"); // the best one is taken now
    CHECK_EQ(desk.place().slot, 1);
}

TEST("rule 1: a beginning that all chats share is not worth another one's prefix") {
    Desk desk;
    desk.leave(0, "<chat>how are you today?");
    desk.wait("<chat>why is the sky blue?");
    const Placement elsewhere = desk.place();
    CHECK_EQ(elsewhere.slot, 1);
    CHECK_EQ(elsewhere.n_kept, 0);
    desk.wait("<chat>how are you today? fine"); // goes on with the conversation
    CHECK_EQ(desk.place().slot, 0);
}

TEST("rule 3 keeps what little the slot shares") {
    Desk desk;
    for (const SlotId slot : {0, 1, 2, 3}) {
        desk.leave(slot, "<chat>how are you today?");
    }
    desk.wait("<chat>why is the sky blue?");
    const Placement placement = desk.place();
    CHECK_EQ(placement.slot, 0);
    CHECK_EQ(placement.n_kept, 6);
}

TEST("rule 2: no other conversation loses its prefix while a stream is empty") {
    Desk desk;
    desk.leave(0, "xyz");
    desk.leave(1, "uvw");
    desk.wait("abc");
    CHECK_EQ(desk.place().slot, 2);
}

TEST("rule 3: the slot that has been idle the longest") {
    Desk desk;
    for (const SlotId slot : {2, 0, 3, 1}) {
        desk.leave(slot, "xyz");
    }
    for (const SlotId slot : {2, 0, 3, 1}) {
        desk.wait("abc");
        const Placement placement = desk.place();
        CHECK_EQ(placement.slot, slot);
        CHECK_EQ(placement.n_kept, 0);
    }
}

TEST("one token of the prompt is left to compute") {
    Desk desk;
    desk.leave(1, "abcdef");
    for (const std::string_view prompt : {"abcdef", "abc"}) {
        desk.wait(prompt);
        const Placement placement = desk.place();
        CHECK_EQ(placement.slot, 1);
        CHECK_EQ(placement.n_kept, prompt.size() - 1);
        CHECK_EQ(desk.scheduler.slot(1).pending().size(), 1);
        desk.scheduler.slot(1).release();
        desk.scheduler.slot(1).forget();
        desk.leave(1, "abcdef");
    }
}

TEST("decoding has one row for each decoding slot, in order of slots") {
    Desk desk;
    CHECK(desk.scheduler.plan_decode().empty());
    for (const std::string_view prompt : {"aaa", "bb", "c", "dddd"}) {
        desk.wait(prompt);
        desk.place();
    }
    CHECK(desk.scheduler.plan_decode().empty());
    for (const SlotId slot : {3, 0, 1}) {
        desk.answer(slot, 'x');
    }
    CHECK_EQ(show(desk.scheduler.plan_decode()), "0:x@3! 1:x@2! 3:x@4!");
    desk.scheduler.slot(1).release();
    CHECK_EQ(show(desk.scheduler.plan_decode()), "0:x@3! 3:x@4!");
}

TEST("alone, a prompt is computed n_ubatch tokens at a time") {
    Desk desk;
    desk.wait("abcdefghijklmnopq");
    desk.place();
    const Batch first = desk.scheduler.plan_prefill(kChunk);
    CHECK_EQ(first.size(), kLimits.n_ubatch);
    CHECK(!first.back().wants_logits);
    desk.scheduler.slot(0).advance(first.size());
    CHECK_EQ(show(desk.scheduler.plan_prefill(kChunk)), "0:m@12 0:n@13 0:o@14 0:p@15 0:q@16!");
}

TEST("while another request decodes, a prompt is computed within the budget") {
    Desk desk;
    desk.wait("a");
    desk.place();
    desk.answer(0, 'x');
    desk.wait("bcdefg");
    desk.place();
    CHECK_EQ(show(desk.scheduler.plan_prefill(kChunk)), "1:b@0 1:c@1 1:d@2 1:e@3");
    desk.scheduler.slot(1).advance(4);
    CHECK_EQ(show(desk.scheduler.plan_prefill(kChunk)), "1:f@4 1:g@5!");
}

TEST("no plan for prompts is larger than the runner's batch") {
    const RunnerLimits small{.n_slots = 2, .n_ctx = 64, .n_batch = 3, .n_ubatch = 12};
    Desk desk(small);
    desk.wait("abcdefgh");
    desk.place();
    CHECK_EQ(desk.scheduler.plan_prefill(100).size(), 3);
    desk.answer(0, 'x');
    desk.wait("abcdefgh");
    desk.place();
    CHECK_EQ(desk.scheduler.plan_prefill(100).size(), 3);
}

TEST("the oldest prompt comes first; others join where they fit in whole, slots rising") {
    Desk desk;
    desk.leave(2, "mm");
    desk.wait("mmnnnnnn"); // the oldest: goes to slot 2, 6 tokens left
    desk.wait("aaaaaaaa"); // 8 tokens: too long to join
    desk.wait("bbbb");     // 4 tokens: joins
    desk.wait("ccc");      // 3 tokens: no room any more
    CHECK_EQ(desk.place().slot, 2);
    CHECK_EQ(desk.place().slot, 0);
    CHECK_EQ(desk.place().slot, 1);
    CHECK_EQ(desk.place().slot, 3);
    CHECK_EQ(show(desk.scheduler.plan_prefill(kChunk)),
             "1:b@0 1:b@1 1:b@2 1:b@3! 2:n@2 2:n@3 2:n@4 2:n@5 2:n@6 2:n@7!");
    desk.answer(1, 'x');
    desk.answer(2, 'x');
    CHECK_EQ(show(desk.scheduler.plan_prefill(kChunk)), "0:a@0 0:a@1 0:a@2 0:a@3"); // others decode
}

TEST("rows are still due unless their request has ended or fallen behind") {
    Desk desk;
    for (const std::string_view prompt : {"aaa", "bbb", "ccc"}) {
        desk.wait(prompt);
        desk.place();
    }
    const Batch planned = desk.scheduler.plan_prefill(kChunk);
    CHECK(desk.scheduler.still_due(planned) == planned);
    const std::span<const Row> rest = std::span(planned).subspan(4);      // "bb" of slot 1, and slot 2
    CHECK_EQ(show(desk.scheduler.still_due(rest)), "2:c@0 2:c@1 2:c@2!"); // b@0 is not computed
    desk.scheduler.slot(1).advance(1);
    CHECK_EQ(show(desk.scheduler.still_due(rest)), "1:b@1 1:b@2! 2:c@0 2:c@1 2:c@2!");
    desk.scheduler.slot(2).release();
    CHECK_EQ(show(desk.scheduler.still_due(rest)), "1:b@1 1:b@2!");
    desk.scheduler.slot(1).advance(2);
    CHECK(desk.scheduler.still_due(rest).empty());
}

TEST("the stalest slot is the one that has kept its stream the longest without a request") {
    Desk desk;
    CHECK(desk.scheduler.stalest() == nullptr);
    for (const SlotId slot : {2, 0, 3}) {
        desk.leave(slot, "xyz");
    }
    CHECK_EQ(desk.scheduler.stalest()->id(), 2);
    desk.scheduler.slot(2).forget();
    CHECK_EQ(desk.scheduler.stalest()->id(), 0);
}

TEST("the largest sequence is the one with the most tokens in its stream") {
    Desk desk;
    desk.leave(3, "xxxxxxxxxxxx"); // idle slots do not count
    CHECK(desk.scheduler.largest() == nullptr);
    for (const std::string_view prompt : {"aa", "bbbb", "ccc"}) {
        desk.wait(prompt);
        desk.place();
    }
    for (const SlotId slot : {0, 1, 2}) {
        desk.answer(slot, 'y');
    }
    CHECK_EQ(desk.scheduler.largest()->id(), 1);
}
