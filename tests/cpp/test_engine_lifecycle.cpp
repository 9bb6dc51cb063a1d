#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "engine_rig.h"

#include "core/engine.h"
#include "core/errors.h"

using namespace llamad;

TEST("an engine that did nothing closes, once or twice") {
    FakeModel model;
    EngineRig rig(model);
    rig.close();
    CHECK(model.runner_freed.load());
    rig.close();
    CHECK(model.decodes().empty());
}

TEST("closing ends requests in every state with an error, once") {
    FakeModel model;
    model.limits.n_slots = 2;
    model.gate.hold();
    EngineRig rig(model);
    const RequestId decoding = rig.submit("A", 60);
    CHECK(model.gate.reached()); // at A's prompt
    CHECK(model.gate.pass());    // at A's first decode
    const RequestId in_prompt = rig.submit(std::string(40, 'B'), 60);
    const RequestId waiting = rig.submit("C", 60);
    CHECK(model.gate.pass()); // at A's second decode; B is placed
    CHECK(model.gate.pass()); // at the first part of B's prompt
    CHECK(model.gate.pass()); // at A's third decode
    const RequestId unseen = rig.submit("D", 60);
    rig.close();
    for (const RequestId id : {decoding, in_prompt, waiting, unseen}) {
        rig.check_failed(id, ErrorKind::kEngineClosed, "closed");
        CHECK_EQ(rig.wait(id).n_events, 1);
    }
    CHECK_EQ(rig.wait(decoding).tokens, generated(babble, tokens_of("A"), 3));
    for (const RequestId id : {in_prompt, waiting, unseen}) {
        CHECK(rig.wait(id).tokens.empty());
    }
    CHECK_EQ(model.decodes().back().status, DecodeStatus::kAborted);
    CHECK_EQ(rig.engine().metrics().finished[static_cast<std::size_t>(FinishReason::kError)].load(), 4);
}

TEST("a request that was cancelled before the close is cancelled") {
    FakeModel model;
    model.limits.n_slots = 1;
    model.gate.hold();
    EngineRig rig(model);
    const RequestId running = rig.submit("A", 5);
    CHECK(model.gate.reached());
    const RequestId waiting = rig.submit("B", 5);
    rig.engine().cancel(running);
    rig.engine().cancel(waiting);
    rig.close();
    CHECK_EQ(rig.wait(running).end->reason, FinishReason::kCancelled);
    CHECK_EQ(rig.wait(waiting).end->reason, FinishReason::kCancelled);
}

TEST("a closed engine refuses requests and ignores cancellations") {
    FakeModel model;
    EngineRig rig(model);
    const RequestId id = rig.submit("A", 5);
    rig.wait(id);
    rig.close();
    rig.engine().cancel(id);
    auto request = make_request("B", 5);
    CHECK_THROWS(EngineClosedError, rig.engine().submit(std::span(&request, 1)));
    CHECK(request != nullptr && request->prompt == tokens_of("B"));
}

TEST("whoever closes second waits for the first") {
    for (int round = 0; round < 20; ++round) {
        FakeModel model;
        EngineRig rig(model);
        for (int i = 0; i < 10; ++i) {
            rig.submit(std::string(20, 'A'), 40);
        }
        std::vector<std::thread> closers;
        for (int i = 0; i < 2; ++i) {
            closers.emplace_back([&] {
                rig.close();
                CHECK(model.runner_freed.load());
            });
        }
        for (std::thread &closer : closers) {
            closer.join();
        }
    }
}

TEST("the destructor closes an engine that is at work") {
    FakeModel model;
    model.gate.hold();
    {
        Engine engine(model.runner(), {.max_queue = 4});
        auto request = make_request("A", 60);
        engine.submit(std::span(&request, 1));
        CHECK(model.gate.reached());
    }
    CHECK(model.runner_freed.load());
    CHECK_EQ(model.decodes().back().status, DecodeStatus::kAborted);
}

TEST("the queue is bounded, and has room again when a request has ended") {
    FakeModel model;
    model.limits.n_slots = 1;
    model.gate.hold();
    EngineRig rig(model, {.max_queue = 2});
    const RequestId first = rig.submit("A", 5); // its slot
    CHECK(model.gate.reached());
    const RequestId second = rig.submit("B", 5); // and the queue's two places
    rig.submit("C", 5);
    auto refused = make_request("D", 5);
    CHECK_THROWS(QueueFullError, rig.engine().submit(std::span(&refused, 1)));
    REQUIRE(refused != nullptr);
    CHECK(model.gate.pass()); // the bound does not depend on how far the engine is
    CHECK_THROWS(QueueFullError, rig.engine().submit(std::span(&refused, 1)));
    rig.engine().cancel(second);
    model.gate.open();
    rig.check_complete(first, "A", 5);
    rig.check_complete(rig.submit(std::move(refused)), "D", 5);
}

TEST("an engine is idle between requests") {
    FakeModel model;
    EngineRig rig(model);
    rig.run("A", 3);
    rig.engine().cancel(99); // may cost a step of its own
    rig.run("B", 1);
    CHECK_EQ(model.decodes().size(), 4);
    CHECK(rig.metrics().steps.load() <= 8); // four with work, and one without after each of three wake-ups
}
