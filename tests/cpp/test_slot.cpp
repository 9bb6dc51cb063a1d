#include <memory>

#include "check.h"
#include "engine_rig.h"

#include "core/slot.h"

using namespace llamad;

namespace {

std::unique_ptr<Sequence> sequence(std::string_view prompt, std::int32_t n_cached = 0) {
    return std::make_unique<Sequence>(make_request(prompt, 100), 64, n_cached);
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
    CHECK(!slot.sequence().append('d', *model.runner()));
    CHECK(!slot.prefilling() && slot.decoding());
    CHECK_EQ(pending(slot), tokens_of("d"));

    const TimePoint before = Clock::now();
    CHECK_EQ(slot.release()->tokens(), tokens_of("abcd"));
    CHECK(slot.idle() && !slot.prefilling() && !slot.decoding());
    CHECK(slot.idle_since() >= before);
    CHECK_EQ(slot.cached(), tokens_of("abc"));
}

TEST("the stream survives its sequence until it is forgotten") {
    Slot slot(0);
    slot.start(sequence("abcdef"), 0);
    slot.advance(4);
    slot.release();
    CHECK_EQ(slot.shared_prefix(tokens_of("abcdef")), 4);
    CHECK_EQ(slot.shared_prefix(tokens_of("abxdef")), 2);
    CHECK_EQ(slot.shared_prefix(tokens_of("ab")), 2);
    CHECK_EQ(slot.shared_prefix(tokens_of("xbcd")), 0);

    slot.start(sequence("abxy", 2), 2);
    CHECK_EQ(slot.cached(), tokens_of("ab"));
    CHECK_EQ(pending(slot), tokens_of("xy"));
    slot.release();
    slot.forget();
    CHECK(slot.cached().empty());
    CHECK_EQ(slot.shared_prefix(tokens_of("ab")), 0);
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
