// A runner whose decode() returns before anything is computed, as on a GPU.
#include <string>

#include "check.h"
#include "engine_rig.h"

using namespace llamad;

namespace {

RunnerLimits limits(bool decodes_async) {
    return {.n_slots = 4, .n_ctx = 64, .n_batch = 32, .n_ubatch = 16, .decodes_async = decodes_async};
}

std::unique_ptr<Request> streamed(const std::string &prompt, std::int32_t max_tokens) {
    auto request = make_request(prompt, max_tokens);
    request->stream = true;
    return request;
}

} // namespace

TEST("a token leaves while the next one is computed") {
    FakeModel model(limits(/*decodes_async=*/true));
    model.device.hold();
    EngineRig rig(model);
    const RequestId id = rig.submit(streamed("A", 5));
    CHECK(model.device.reached()); // the prompt is being computed
    CHECK_EQ(rig.so_far(id).tokens.size(), 0);
    for (std::size_t n = 1; n < 5; ++n) {
        CHECK(model.device.pass());
        CHECK_EQ(rig.so_far(id).tokens.size(), n);
        CHECK_EQ(model.decodes().size(), n + 1); // what it waits for is on its way
    }
    model.device.open();
    rig.check_complete(id, "A", 5);
}

TEST("where decode() computes, a token leaves before the next call") {
    FakeModel model(limits(/*decodes_async=*/false));
    model.gate.hold();
    EngineRig rig(model);
    const RequestId id = rig.submit(streamed("A", 5));
    CHECK(model.gate.reached());
    for (std::size_t n = 1; n < 5; ++n) {
        CHECK(model.gate.pass());
        CHECK_EQ(rig.so_far(id).tokens.size(), n);
        CHECK_EQ(model.decodes().size(), n); // the next stands at the gate
    }
    model.gate.open();
    rig.check_complete(id, "A", 5);
}

TEST("the last token of all leaves though nothing is computed after it") {
    FakeModel model(limits(/*decodes_async=*/true));
    EngineRig rig(model);
    rig.check_complete(rig.submit(streamed("A", 1)), "A", 1);
    rig.check_complete(rig.submit("B", 3), "B", 3);
}

TEST("tokens leave while somebody's prompt is computed") {
    FakeModel model(limits(/*decodes_async=*/true));
    model.device.hold();
    EngineRig rig(model, {.itl_target_ms = 100'000, .max_queue = 64});
    const RequestId first = rig.submit(streamed("A", 9));
    CHECK(model.device.reached());
    const RequestId second = rig.submit(streamed(std::string(12, 'B'), 9));
    CHECK(model.device.pass()); // the second request has a slot by now, or in the next step
    while (rig.so_far(second).tokens.empty() && rig.so_far(first).tokens.size() < 8) {
        CHECK(model.device.pass());
    }
    model.device.open();
    rig.check_complete(first, "A", 9);
    rig.check_complete(second, std::string(12, 'B'), 9);
}

TEST("who is cancelled or closed while the device computes has what had been sampled") {
    FakeModel model(limits(/*decodes_async=*/true));
    model.device.hold();
    EngineRig rig(model);
    const RequestId cancelled = rig.submit(streamed("A", 50));
    CHECK(model.device.reached());
    CHECK(model.device.pass());
    CHECK(model.device.pass());
    rig.engine().cancel(cancelled);
    model.device.open();
    const Result &result = rig.wait(cancelled);
    CHECK_EQ(result.end->reason, FinishReason::kCancelled);
    CHECK_EQ(result.tokens, generated(babble, tokens_of("A"), result.tokens.size()));
    CHECK(result.tokens.size() >= 2);
    model.device.hold();
    const RequestId closed = rig.submit(streamed("C", 50));
    CHECK(model.device.reached());
    rig.close();
    rig.check_failed(closed, ErrorKind::kEngineClosed, "was closed");
}

TEST("all kinds of requests come out as from a runner that waits") {
    for (const bool pads : {false, true}) {
        RunnerLimits of_runner = limits(/*decodes_async=*/true);
        of_runner.pads_decodes = pads;
        FakeModel model(of_runner);
        EngineRig rig(model, {.max_queue = 64}, 10'000);
        std::vector<std::pair<RequestId, std::string>> asked;
        for (int i = 0; i < 20; ++i) {
            const std::string prompt(static_cast<std::size_t>(1 + 2 * i), static_cast<char>('A' + i));
            asked.emplace_back(rig.submit(i % 2 == 0 ? streamed(prompt, 12) : make_request(prompt, 12)),
                               prompt);
        }
        for (const auto &[id, prompt] : asked) {
            rig.check_complete(id, prompt, 12);
        }
    }
}
