#include <algorithm>
#include <memory>
#include <string>
#include <thread>

#include "check.h"
#include "engine_rig.h"

#include "core/engine.h"

using namespace llamad;

namespace {

// The engine stands at the gate with a request that runs in its only slot; every deadline below has passed
// when it goes on.
struct OneSlot {
    explicit OneSlot(const EngineLimits &limits = {}) {
        model.limits.n_slots = 1;
        model.gate.hold();
        rig = std::make_unique<EngineRig>(model, limits);
    }
    RequestId submit(std::string_view prompt, double timeout_s = 0) const {
        auto request = make_request(prompt, 60);
        if (timeout_s > 0) {
            request->timeout_s = timeout_s;
        }
        return rig->submit(std::move(request));
    }
    void open_late() {
        std::this_thread::sleep_for(std::chrono::milliseconds(260));
        model.gate.open();
    }
    // Timed out in its slot, with what it had generated.
    void check_timed_out(RequestId id, std::string_view prompt, std::string_view message) const {
        rig->check_failed(id, ErrorKind::kTimeout, message);
        const Tokens &tokens = rig->wait(id).tokens;
        CHECK_EQ(tokens, generated(babble, tokens_of(prompt), tokens.size()));
    }
    void check_counters(std::uint64_t queue_timeouts, std::uint64_t timeouts) const {
        CHECK_EQ(rig->metrics().queue_timeouts.load(), queue_timeouts);
        CHECK_EQ(rig->metrics().timeouts.load(), timeouts);
        CHECK_EQ(rig->metrics().finished[static_cast<std::size_t>(FinishReason::kError)].load(),
                 queue_timeouts + timeouts);
    }

    FakeModel model;
    std::unique_ptr<EngineRig> rig;
};

constexpr double kSoon = 0.25; // long enough to reach the gate on a busy machine
constexpr double kNever = 3600;

} // namespace

TEST("who waits too long for a slot is told so; who has one goes on") {
    OneSlot one({.queue_timeout_s = kSoon});
    const RequestId running = one.submit("A");
    CHECK(one.model.gate.reached());
    const RequestId waiting = one.submit("B");
    one.open_late();
    one.rig->check_failed(waiting, ErrorKind::kQueueTimeout, "no slot became free within 0.25 s");
    CHECK(one.rig->wait(waiting).tokens.empty());
    one.rig->check_complete(running, "A", 60);
    one.check_counters(1, 0);
}

TEST("a choice that waits for another of its own request does not time out in the queue") {
    OneSlot one({.max_queue = 4, .queue_timeout_s = kSoon});
    std::vector<std::unique_ptr<Request>> choices;
    choices.push_back(make_request("A", 60));
    choices.push_back(make_request("A", 60));
    const std::vector<RequestId> ids = one.rig->submit(std::move(choices));
    CHECK(one.model.gate.reached());
    one.open_late();
    for (const RequestId id : ids) {
        one.rig->check_complete(id, "A", 60);
    }
    one.check_counters(0, 0);
}

TEST("choices of one prompt that are submitted one by one count as one request, too") {
    OneSlot one({.max_queue = 4, .queue_timeout_s = kSoon});
    const auto any_started = std::make_shared<bool>(false);
    const auto submit = [&] {
        auto request = make_request("A", 60);
        request->any_started = any_started;
        return one.rig->submit(std::move(request));
    };
    const RequestId first = submit();
    CHECK(one.model.gate.reached());
    const RequestId second = submit();
    const RequestId other = one.submit("B");
    one.open_late();
    one.rig->check_complete(first, "A", 60);
    one.rig->check_complete(second, "A", 60);
    one.rig->check_failed(other, ErrorKind::kQueueTimeout, "no slot became free within 0.25 s");
    one.check_counters(1, 0);
}

TEST("a request's own time is over, in its slot and in the queue") {
    OneSlot one;
    const RequestId running = one.submit("A", kSoon);
    CHECK(one.model.gate.reached());
    const RequestId waiting = one.submit("B", kSoon);
    const RequestId patient = one.submit("C", kNever);
    one.open_late();
    one.check_timed_out(running, "A", "did not finish within 0.25 s");
    one.check_timed_out(waiting, "B", "did not finish within 0.25 s");
    one.rig->check_complete(patient, "C", 60);
    one.check_counters(0, 2);
}

TEST("the engine's limit is everybody's, and the message names the limit that was reached") {
    OneSlot one({.request_timeout_s = kSoon});
    const RequestId running = one.submit("A", kNever);
    CHECK(one.model.gate.reached());
    const RequestId waiting = one.submit("B");
    one.open_late();
    one.check_timed_out(running, "A", "did not finish within 0.25 s");
    one.check_timed_out(waiting, "B", "did not finish within 0.25 s");
    one.check_counters(0, 2);
}

TEST("time that is not over changes nothing") {
    OneSlot one({.queue_timeout_s = kNever, .request_timeout_s = kNever});
    const RequestId running = one.submit("A", kNever);
    CHECK(one.model.gate.reached());
    const RequestId waiting = one.submit("B", kNever);
    one.model.gate.open();
    one.rig->check_complete(running, "A", 60);
    one.rig->check_complete(waiting, "B", 60);
    one.check_counters(0, 0);
}

TEST("what a request computed until its time was over serves the next") {
    OneSlot one;
    const std::string prompt(40, 'P');
    const RequestId late = one.submit(prompt, kSoon);
    CHECK(one.model.gate.reached());
    one.open_late();
    one.check_timed_out(late, prompt, "did not finish");
    CHECK_EQ(one.rig->run(prompt, 3).end->usage.cached_tokens, 16); // the part that was under way
}

TEST("a timed out request makes room in the queue") {
    OneSlot one({.max_queue = 1, .queue_timeout_s = kSoon});
    const RequestId running = one.submit("A");
    CHECK(one.model.gate.reached());
    const RequestId waiting = one.submit("B");
    auto refused = make_request("C", 5);
    CHECK_THROWS(QueueFullError, one.rig->engine().submit(std::span(&refused, 1)));
    one.open_late();
    one.rig->wait(waiting);
    one.rig->wait(running);
    CHECK(one.rig->submit(std::move(refused)) > 0);
}

TEST("who lost his slot again is not waiting for his first one") {
    FakeModel model({.n_slots = 2, .n_ctx = 120, .n_batch = 32, .n_ubatch = 16, .unified = true});
    model.n_cells = 120;
    model.gate.hold(); // so that neither is done before the other begins
    EngineRig rig(model, {.queue_timeout_s = kNever});
    const RequestId first = rig.submit(std::string(20, 'A'), 90);
    const RequestId second = rig.submit(std::string(20, 'B'), 90);
    model.gate.open();
    rig.check_complete(first, std::string(20, 'A'), 90);
    rig.check_complete(second, std::string(20, 'B'), 90);
    CHECK(rig.metrics().preemptions.load() > 0);
    CHECK_EQ(rig.metrics().queue_timeouts.load(), 0);
}
