// What is computed next.
#include <sstream>
#include <string>
#include <string_view>

#include "check.h"
#include "desk.h"

using namespace llamad;

namespace {

constexpr std::size_t kChunk = 4;

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

// The slots that the plan computes, and how many tokens of each.
std::string shares(const Batch &batch) {
    std::ostringstream text;
    for (auto row = batch.begin(); row != batch.end();) {
        const auto end =
            std::find_if(row, batch.end(), [&](const Row &other) { return other.slot != row->slot; });
        text << (row == batch.begin() ? "" : " ") << row->slot << ':' << end - row;
        row = end;
    }
    return text.str();
}

} // namespace

TEST("decoding has one row for each decoding slot, in order of slots") {
    Desk desk;
    CHECK(desk.scheduler.plan_decode().empty());
    for (const std::string_view prompt : {"aaa", "bb", "c"}) {
        desk.place(prompt);
    }
    CHECK(desk.scheduler.plan_decode().empty());
    for (const SlotId slot : {2, 0, 1}) {
        desk.answer(slot, 'x');
    }
    CHECK_EQ(show(desk.scheduler.plan_decode()), "0:x@3! 1:x@2! 2:x@1!");
    CHECK_EQ(desk.scheduler.n_decoding(), 3);
    CHECK_EQ(desk.scheduler.n_prefilling(), 0);
    desk.scheduler.slot(1).release(); // an idle slot has nothing to fill the gap with
    CHECK_EQ(show(desk.scheduler.plan_decode()), "0:x@3! 2:x@1!");
}

TEST("tokens are seen as they come where a request that is decoding is streamed") {
    Desk desk;
    desk.place("aaa");
    desk.place("bb", {.streams = true});
    desk.answer(0, 'x');
    CHECK(!desk.scheduler.any_streams()); // its first token is still to come
    desk.answer(1, 'x');
    CHECK(desk.scheduler.any_streams());
    desk.scheduler.slot(1).release();
    CHECK(!desk.scheduler.any_streams());
}

TEST("a prompt between decoding slots adds its next token, one beside them does not") {
    Desk desk;
    for (const std::string_view prompt : {"aa", "bb", "cc", "dd"}) {
        desk.place(prompt);
    }
    desk.answer(1, 'x');
    desk.answer(3, 'x');
    CHECK_EQ(show(desk.scheduler.plan_decode()), "1:x@2! 2:c@0 3:x@2!");
    desk.scheduler.slot(2).advance(1);
    CHECK_EQ(show(desk.scheduler.plan_decode()), "1:x@2! 2:c@1! 3:x@2!"); // its last one is sampled
}

TEST("padded, idle slots add rows behind what they hold, and prompts their next token") {
    RunnerLimits limits = kDeskLimits;
    limits.n_slots = 8;
    limits.pads_decodes = true;
    Desk desk(limits);
    desk.leave(4, "held");
    for (const std::string_view prompt : {"aa", "bb", "cc", "dd"}) {
        desk.place(prompt); // slots 0 to 3
    }
    desk.answer(0, 'x');
    CHECK_EQ(show(desk.scheduler.plan_decode()), "0:x@2!"); // one alone
    desk.answer(2, 'x');
    CHECK_EQ(show(desk.scheduler.plan_decode()), "0:x@2! 1:b@0 2:x@2! 3:d@0");
    desk.answer(1, 'x');
    desk.answer(3, 'x');
    desk.place("ee");
    desk.answer(5, 'x'); // an empty slot was preferred to the one that holds something
    const char pad = '\0';
    const std::string padding = std::string(1, pad);
    CHECK_EQ(show(desk.scheduler.plan_decode()), "0:x@2! 1:x@2! 2:x@2! 3:x@2! 4:" + padding +
                                                     "@4 5:x@2! 6:" + padding + "@0 7:" + padding + "@0");
    desk.scheduler.slot(4).add_padding();
    desk.scheduler.slot(1).release();
    CHECK_EQ(show(desk.scheduler.plan_decode()), "0:x@2! 1:" + padding + "@2 2:x@2! 3:x@2! 4:" + padding +
                                                     "@5 5:x@2! 6:" + padding + "@0 7:" + padding + "@0");
}

TEST("alone, a prompt is computed n_ubatch tokens at a time") {
    Desk desk;
    desk.place("abcdefghijklmnopq");
    const Batch first = desk.scheduler.plan_prefill(kChunk);
    CHECK_EQ(first.size(), kDeskLimits.n_ubatch);
    CHECK(!first.back().wants_logits);
    desk.scheduler.slot(0).advance(first.size());
    CHECK_EQ(show(desk.scheduler.plan_prefill(kChunk)), "0:m@12 0:n@13 0:o@14 0:p@15 0:q@16!");
}

TEST("while another request decodes, a prompt is computed within the budget") {
    Desk desk;
    desk.place("a");
    desk.answer(0, 'x');
    desk.place("bcdefg");
    CHECK_EQ(show(desk.scheduler.plan_prefill(kChunk)), "1:b@0 1:c@1 1:d@2 1:e@3");
    desk.scheduler.slot(1).advance(4);
    CHECK_EQ(show(desk.scheduler.plan_prefill(kChunk)), "1:f@4 1:g@5!");
}

TEST("no plan for prompts is larger than the runner's batch") {
    Desk desk({.n_slots = 2, .n_ctx = 64, .n_batch = 3, .n_ubatch = 12});
    desk.place("abcdefgh");
    CHECK_EQ(desk.scheduler.plan_prefill(100).size(), 3);
    desk.answer(0, 'x');
    desk.place("abcdefgh");
    CHECK_EQ(desk.scheduler.plan_prefill(100).size(), 3);
}

TEST("rule 1: the more urgent prompt first, in both turns") {
    Desk desk;
    desk.place(std::string(30, 'a'), {.priority = 1});
    desk.place(std::string(40, 'b'), {.priority = 0});
    desk.place(std::string(20, 'c'), {.priority = 2});
    for (int turn = 0; turn < 4; ++turn) {
        CHECK_EQ(shares(desk.scheduler.plan_prefill(kChunk)), "1:12");
    }
}

TEST("rule 2: turns alternate between the oldest prompt and the one of which the least is left") {
    Desk desk;
    desk.place(std::string(60, 'a'));
    desk.place(std::string(50, 'b'));
    desk.place(std::string(30, 'c'));
    std::string turns;
    for (int turn = 0; turn < 6; ++turn) {
        const Batch batch = desk.scheduler.plan_prefill(kChunk);
        turns += shares(batch) + ' ';
        for (const Row &row : batch) {
            desk.scheduler.slot(row.slot).advance(1);
        }
    }
    // The third prompt's last 6 tokens leave room for nobody else's whole prompt.
    CHECK_EQ(turns, "0:12 2:12 0:12 2:12 0:12 2:6 ");
}

TEST("rule 2: the oldest request, not the one in the lowest slot") {
    Desk desk;
    desk.leave(0, "m");
    desk.leave(1, "m");
    desk.place(std::string(30, 'a')); // slot 2
    desk.place(std::string(20, 'b')); // slot 3
    desk.place(std::string(40, 'c')); // slot 0
    CHECK_EQ(shares(desk.scheduler.plan_prefill(kChunk)), "2:12");
    CHECK_EQ(shares(desk.scheduler.plan_prefill(kChunk)), "3:12");
}

TEST("rule 3: others join where they fit in whole, slots rising") {
    Desk desk;
    desk.leave(2, std::string(34, 'm'));
    desk.wait(std::string(34, 'm') + "nnnnnn"); // the oldest: goes to slot 2, 6 tokens left
    desk.wait("aaaaaaaa");                      // 8 tokens: too long to join
    desk.wait("bbbb");                          // 4 tokens: joins
    desk.wait("ccc");                           // 3 tokens: joins first, being shorter
    CHECK_EQ(desk.place().slot, 2);
    for (const SlotId slot : {0, 1, 3}) {
        CHECK_EQ(desk.place().slot, slot);
    }
    CHECK_EQ(shares(desk.scheduler.plan_prefill(kChunk)), "2:6 3:3");
    CHECK_EQ(shares(desk.scheduler.plan_prefill(kChunk)), "1:4 3:3"); // the shortest has its turn
    desk.answer(2, 'x');
    CHECK_EQ(shares(desk.scheduler.plan_prefill(kChunk)), "0:4"); // the oldest, within the budget
}

TEST("rows are still due unless their request has ended or fallen behind") {
    Desk desk;
    for (const std::string_view prompt : {"aaa", "bbb", "ccc"}) {
        desk.place(prompt);
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
    desk.scheduler.slot(2).clear();
    CHECK_EQ(desk.scheduler.stalest()->id(), 0);
}

TEST("the largest sequence is the one with the most tokens in its stream") {
    Desk desk;
    desk.leave(3, "xxxxxxxxxxxx"); // idle slots do not count
    CHECK(desk.scheduler.largest() == nullptr);
    for (const std::string_view prompt : {"aa", "bbbb", "ccc"}) {
        desk.place(prompt);
    }
    for (const SlotId slot : {0, 1, 2}) {
        desk.answer(slot, 'y');
    }
    CHECK_EQ(desk.scheduler.largest()->id(), 1);
}

TEST("the youngest is the least urgent, then the last that came, and never the only one") {
    Desk desk;
    CHECK(desk.scheduler.youngest() == nullptr);
    desk.place("aa");
    CHECK(desk.scheduler.youngest() == nullptr);
    desk.place("bb");
    CHECK_EQ(desk.scheduler.youngest()->id(), 1);
    desk.place("cc", {.priority = 3});
    desk.place("dd");
    CHECK_EQ(desk.scheduler.youngest()->id(), 2);
    desk.scheduler.slot(2).release();
    CHECK_EQ(desk.scheduler.youngest()->id(), 3);
}
