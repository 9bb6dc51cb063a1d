#include <memory>
#include <optional>
#include <utility>

#include "check.h"
#include "engine_rig.h"

#include "core/slot.h"

using namespace llamad;

namespace {

std::unique_ptr<Sequence> sequence(std::string_view prompt, std::string_view salt = "") {
    auto request = make_request(prompt, 100);
    request->cache_salt = salt;
    return std::make_unique<Sequence>(std::move(request), 64, std::make_shared<Account>());
}

Tokens pending(const Slot &slot) { return {slot.pending().begin(), slot.pending().end()}; }

Row row(char token, Pos pos, SlotId slot, bool wants_logits) {
    return {.token = token, .pos = pos, .slot = slot, .wants_logits = wants_logits};
}

} // namespace

TEST("a slot goes from idle over prefill and decode to idle") {
    Slot slot(2);
    CHECK_EQ(slot.id(), 2);
    CHECK(slot.idle() && !slot.prefilling() && !slot.decoding());
    CHECK(slot.idle_since() == TimePoint{});

    slot.start(sequence("abc"), 0);
    CHECK(!slot.idle() && slot.prefilling() && !slot.decoding());
    CHECK_EQ(pending(slot), tokens_of("abc"));

    slot.advance(3);
    CHECK(slot.prefilling()); // computed, but nothing is sampled
    CHECK(slot.pending().empty());

    FakeModel model;
    CHECK(!slot.sequence().append('d', std::nullopt, *model.runner()));
    CHECK(!slot.prefilling() && slot.decoding());
    CHECK_EQ(pending(slot), tokens_of("d"));

    const TimePoint before = Clock::now();
    CHECK_EQ(slot.release()->tokens(), tokens_of("abcd"));
    CHECK(slot.idle() && !slot.prefilling() && !slot.decoding());
    CHECK(slot.idle_since() >= before);
    CHECK_EQ(slot.cached(), tokens_of("abc"));
}

TEST("the stream survives its sequence, with its salt, until it is cut") {
    Slot slot(0);
    slot.start(sequence("abcdef", "salt"), 0);
    slot.advance(4);
    slot.release();
    CHECK_EQ(slot.cached(), tokens_of("abcd"));
    CHECK_EQ(slot.salt(), "salt");

    slot.start(sequence("abxy"), 2);
    CHECK_EQ(slot.cached(), tokens_of("ab"));
    CHECK_EQ(slot.salt(), "");
    CHECK_EQ(pending(slot), tokens_of("xy"));
    slot.release();
    slot.clear();
    CHECK(slot.cached().empty());
}

TEST("what came from a state that cannot be trimmed stays fixed until the stream is emptied") {
    Slot slot(0);
    slot.start(sequence("abcdef"), 4, /*n_fixed=*/3);
    slot.advance(1);
    CHECK_EQ(slot.n_fixed(), 3);
    slot.release();
    CHECK_EQ(slot.n_fixed(), 3);
    slot.clear();
    CHECK_EQ(slot.n_fixed(), 0);
}

TEST("a sequence that comes back prefills what it has lost, and decodes when one token is missing") {
    FakeModel model;
    Slot slot(0);
    slot.start(sequence("abc"), 0);
    slot.advance(3);
    slot.sequence().append('d', std::nullopt, *model.runner());
    slot.advance(1);
    slot.sequence().append('e', std::nullopt, *model.runner());
    std::unique_ptr<Sequence> preempted = slot.release();

    Slot other(1);
    other.start(std::move(preempted), 2);
    CHECK(other.prefilling() && !other.decoding());
    CHECK_EQ(pending(other), tokens_of("cde"));
    other.advance(2);
    CHECK(other.decoding() && !other.prefilling());
    preempted = other.release();
    other.start(std::move(preempted), 4); // nothing but its last token is missing
    CHECK(other.decoding());
}

TEST("rows continue the stream, and only the last pending token wants logits") {
    Slot slot(3);
    slot.start(sequence("abcd"), 0);
    Batch batch{row('z', 7, 1, true)};
    slot.append_rows(2, batch);
    CHECK(batch == Batch{row('z', 7, 1, true), row('a', 0, 3, false), row('b', 1, 3, false)});
    slot.advance(2);
    batch.clear();
    slot.append_rows(2, batch);
    CHECK(batch == Batch{row('c', 2, 3, false), row('d', 3, 3, true)});
}
