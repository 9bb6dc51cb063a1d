#include <chrono>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "embed_rig.h"
#include "engine_rig.h"

#include "core/errors.h"

using namespace llamad;

namespace {

std::uint64_t count_of(const Histogram &histogram) {
    const std::vector<std::uint64_t> counts = histogram.counts();
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

// Waits for a figure that the engine thread gives after the last event.
template <typename Condition> bool comes_true(Condition condition) {
    const TimePoint deadline = Clock::now() + kPatience;
    while (!condition() && Clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return condition();
}

} // namespace

TEST("each request leaves its times and lengths") {
    FakeModel model;
    EngineRig rig(model);
    for (const std::string prompt : {"one", "a second", "third"}) {
        rig.check_complete(rig.submit(prompt, 4), prompt, 4);
    }
    const Metrics &metrics = rig.metrics();
    CHECK_EQ(count_of(metrics.queue_s), 3);
    CHECK_EQ(count_of(metrics.ttft_s), 3);
    CHECK_EQ(count_of(metrics.itl_s), 9); // the gaps between four tokens
    CHECK_EQ(count_of(metrics.e2e_s), 3);
    CHECK_EQ(count_of(metrics.prefill_s), 3);
    CHECK_EQ(count_of(metrics.decode_s), 3);
    CHECK(metrics.e2e_s.sum() >= metrics.queue_s.sum() && metrics.e2e_s.sum() >= metrics.itl_s.sum());
    CHECK(metrics.prompt_tokens_each.sum() == 3 + 8 + 5);
    CHECK(metrics.generation_tokens_each.sum() == 12);
}

TEST("requests that were cut short count as ended, and not in the times") {
    FakeModel model;
    model.limits.n_slots = 1;
    model.gate.hold();
    EngineRig rig(model);
    const RequestId running = rig.submit("run", 30);
    CHECK(model.gate.reached());
    const RequestId waiting = rig.submit("wait", 30);
    rig.engine().cancel(running);
    rig.engine().cancel(waiting);
    model.gate.open();
    CHECK_EQ(rig.wait(running).end->reason, FinishReason::kCancelled);
    CHECK_EQ(rig.wait(waiting).end->reason, FinishReason::kCancelled);
    const Metrics &metrics = rig.metrics();
    CHECK_EQ(metrics.finished[static_cast<std::size_t>(FinishReason::kCancelled)].load(), 2);
    CHECK_EQ(count_of(metrics.e2e_s), 0);
    CHECK_EQ(count_of(metrics.queue_s), 1); // the other one never had a slot
}

TEST("a call's rows are told apart by what they are for") {
    FakeModel model;
    model.limits = {.n_slots = 2, .n_ctx = 64, .n_batch = 16, .n_ubatch = 16};
    EngineRig rig(model);
    rig.run(std::string(20, 'p'), 3);
    const Metrics &metrics = rig.metrics();
    CHECK(metrics.prefill_rows.sum() == 20);
    CHECK_EQ(count_of(metrics.prefill_rows), 2);
    CHECK(metrics.decode_rows.sum() == 2); // the first token came with the prompt
    CHECK(comes_true([&] { return count_of(metrics.step_s) == 4; }));
    CHECK_EQ(metrics.decode_calls.load(), 4);
}

TEST("who finds the queue full is counted") {
    FakeModel model;
    model.limits.n_slots = 1;
    model.gate.hold();
    EngineRig rig(model, {.max_queue = 1});
    rig.submit("a", 2);
    rig.submit("b", 2);
    std::unique_ptr<Request> refused = make_request("c", 2);
    for (int i = 0; i < 3; ++i) {
        CHECK_THROWS(QueueFullError, rig.engine().submit(std::span(&refused, 1)));
    }
    CHECK_EQ(rig.engine().n_rejected(), 3);
    model.gate.open();
}

TEST("an engine that hangs in the model is seen to, from outside, and one that is idle is not") {
    FakeModel model;
    EngineRig rig(model);
    CHECK(rig.engine().silent_s() == 0);
    rig.run("warm", 2);
    CHECK(comes_true([&] { return rig.engine().silent_s() == 0; }));
    model.gate.hold();
    const RequestId stuck = rig.submit("stuck", 4);
    CHECK(model.gate.reached());
    CHECK(comes_true([&] { return rig.engine().silent_s() > 0.05; }));
    CHECK(model.gate.pass());
    model.gate.open();
    rig.check_complete(stuck, "stuck", 4);
    CHECK(comes_true([&] { return rig.engine().silent_s() == 0; }));
}

TEST("work that has just come in is no stall, however long there was none") {
    FakeModel model;
    EngineRig rig(model);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const TimePoint begin = Clock::now();
    model.gate.hold();
    const RequestId first = rig.submit("first", 2);
    CHECK(rig.engine().silent_s() <= seconds_between(begin, Clock::now()));
    model.gate.open();
    rig.wait(first);
}

TEST("an embedding engine tells of its jobs, batches and stalls") {
    FakeEmbeddingModel model;
    EmbedRig rig(model, {.max_queue = 1});
    rig.check_complete(rig.submit({run_of(1, 5), run_of(9, 3)}));
    const EmbedMetrics &metrics = rig.engine().metrics();
    CHECK_EQ(count_of(metrics.queue_s), 1);
    CHECK_EQ(count_of(metrics.e2e_s), 1);
    CHECK(metrics.batch_rows.sum() == 8);
    CHECK(comes_true([&] { return count_of(metrics.step_s) == 1; }));
    CHECK(rig.engine().silent_s() == 0);
    model.gate.hold();
    const RequestId stuck = rig.submit({run_of(1, 5)});
    CHECK(model.gate.reached());
    CHECK(comes_true([&] { return rig.engine().silent_s() > 0.05; }));
    std::unique_ptr<EmbedJob> refused = make_job({run_of(1, 2)});
    CHECK_THROWS(QueueFullError, rig.engine().submit(refused));
    CHECK_EQ(rig.engine().n_rejected(), 1);
    model.gate.open();
    rig.check_complete(stuck);
}
