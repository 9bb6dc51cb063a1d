#include <algorithm>
#include <string>

#include "check.h"
#include "engine_rig.h"

#include "core/engine.h"

using namespace llamad;

namespace {

void check_cancelled(EngineRig &rig, RequestId id, std::string_view prompt, std::size_t n_generated) {
    const Result &result = rig.wait(id);
    CHECK_EQ(result.end->reason, FinishReason::kCancelled);
    CHECK_EQ(result.end->error, ErrorKind::kNone);
    CHECK_EQ(result.end->error_message, "");
    CHECK_EQ(result.end->usage.prompt_tokens, prompt.size());
    CHECK_EQ(result.tokens, generated(babble, tokens_of(prompt), n_generated));
}

} // namespace

TEST("cancel while the request has not reached the engine thread") {
    FakeModel model;
    model.limits.n_slots = 1;
    model.gate.hold();
    EngineRig rig(model);
    const RequestId running = rig.submit("A", 5);
    CHECK(model.gate.reached());
    const RequestId queued = rig.submit("B", 5);
    rig.engine().cancel(queued);
    model.gate.open();
    check_cancelled(rig, queued, "B", 0);
    rig.check_complete(running, "A", 5);
}

TEST("cancel while the request waits for a slot") {
    FakeModel model;
    model.limits.n_slots = 1;
    model.gate.hold();
    EngineRig rig(model);
    const RequestId running = rig.submit("A", 5);
    CHECK(model.gate.reached());
    const RequestId first = rig.submit("B", 5);
    const RequestId second = rig.submit("C", 5);
    CHECK(model.gate.pass());
    rig.engine().cancel(first);
    model.gate.open();
    check_cancelled(rig, first, "B", 0);
    rig.check_complete(running, "A", 5);
    rig.check_complete(second, "C", 5);
}

TEST("cancel in the middle of a prompt") {
    FakeModel model;
    model.gate.hold();
    EngineRig rig(model);
    const std::string prompt(40, 'P');
    const RequestId id = rig.submit(prompt, 5);
    CHECK(model.gate.reached());
    rig.engine().cancel(id);
    model.gate.open();
    check_cancelled(rig, id, prompt, 0);
    CHECK_EQ(model.n_computed(), 16); // the n_ubatch that was under way
}

TEST("cancel while the request decodes; its neighbour goes on") {
    FakeModel model;
    model.gate.hold();
    EngineRig rig(model);
    auto request = make_request("A", 60);
    request->stream = true;
    const RequestId id = rig.submit(std::move(request));
    const RequestId neighbour = rig.submit("B", 20);
    CHECK(model.gate.reached());
    CHECK(model.gate.pass());
    const std::size_t n_before = rig.so_far(id).tokens.size();
    rig.engine().cancel(id);
    model.gate.open();
    const Result &result = rig.wait(id);
    CHECK(result.tokens.size() <= n_before + 1); // the decode that was under way
    check_cancelled(rig, id, "A", result.tokens.size());
    rig.check_complete(neighbour, "B", 20);
}

TEST("a request that is not streamed delivers what it has when it is cancelled") {
    FakeModel model;
    model.gate.hold();
    EngineRig rig(model);
    const RequestId id = rig.submit("A", 60);
    CHECK(model.gate.reached());
    CHECK(model.gate.pass());
    CHECK(model.gate.pass());
    rig.engine().cancel(id);
    model.gate.open();
    check_cancelled(rig, id, "A", 3);
    CHECK_EQ(rig.wait(id).n_events, 1);
}

TEST("cancelling twice, after the end, or what never was does nothing") {
    FakeModel model;
    model.gate.hold();
    EngineRig rig(model);
    const RequestId cancelled = rig.submit("A", 5);
    const RequestId bystander = rig.submit("B", 5);
    CHECK(model.gate.reached());
    for (const RequestId id : {cancelled, cancelled, RequestId{0}, RequestId{12345}}) {
        rig.engine().cancel(id);
    }
    model.gate.open();
    CHECK_EQ(rig.wait(cancelled).end->reason, FinishReason::kCancelled);
    rig.check_complete(bystander, "B", 5);
    rig.engine().cancel(cancelled);
    rig.engine().cancel(bystander);
    rig.check_complete(rig.submit("C", 5), "C", 5);
    const Metrics &metrics = rig.engine().metrics();
    CHECK_EQ(metrics.finished[static_cast<std::size_t>(FinishReason::kCancelled)].load(), 1);
}

TEST("a cancelled request makes room in the queue and in its slot") {
    FakeModel model;
    model.limits.n_slots = 1;
    model.gate.hold();
    EngineRig rig(model, {.max_queue = 0});
    const RequestId cancelled = rig.submit("A", 60);
    CHECK(model.gate.reached());
    rig.engine().cancel(cancelled);
    model.gate.open();
    CHECK_EQ(rig.wait(cancelled).end->reason, FinishReason::kCancelled);
    rig.check_complete(rig.submit("B", 5), "B", 5);
}
