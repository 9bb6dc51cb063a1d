#include <algorithm>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "check.h"
#include "embed_rig.h"

#include "core/errors.h"
#include "embed/embed_engine.h"

using namespace llamad;

TEST("an engine that did nothing closes, once or twice") {
    FakeEmbeddingModel model;
    EmbedRig rig(model);
    rig.engine().close();
    rig.engine().close();
    CHECK(model.runner_freed.load());
    CHECK(model.batches().empty());
}

TEST("a job's values come in the order of its inputs") {
    FakeEmbeddingModel model;
    EmbedRig rig(model);
    rig.check_complete(rig.submit({run_of(1, 3), run_of(100, 16), run_of(7, 1), run_of(50, 40)}));
    CHECK_EQ(rig.engine().metrics().inputs.load(), 4);
    CHECK_EQ(rig.engine().metrics().tokens.load(), 60);
}

TEST("jobs that wait are computed together") {
    FakeEmbeddingModel model;
    model.gate.hold();
    EmbedRig rig(model);
    const RequestId first = rig.submit({run_of(1, 2)});
    CHECK(model.gate.reached());
    const RequestId second = rig.submit({run_of(2, 2)});
    const RequestId third = rig.submit({run_of(3, 2)});
    model.gate.open();
    for (const RequestId id : {first, second, third}) {
        rig.check_complete(id);
    }
    CHECK_EQ(model.batches().size(), 2);
    CHECK_EQ(model.batches().back(), SeenBatch{{second, 0, 0, 2}, {third, 0, 0, 2}});
}

TEST("a batch that fails is computed one by one, and only the culprit's job fails") {
    FakeEmbeddingModel model;
    model.gate.hold();
    EmbedRig rig(model);
    const RequestId blocker = rig.submit({run_of(1, 2)});
    CHECK(model.gate.reached());
    const RequestId good = rig.submit({run_of(1, 2)});
    const RequestId bad = rig.submit({{5, kPoison}, run_of(3, 2)});
    model.gate.open();
    rig.check_complete(blocker);
    rig.check_complete(good);
    rig.check_failed(bad, ErrorKind::kGenerationFailed, "input 0");
    rig.check_complete(rig.submit({run_of(9, 9)}));
}

TEST("a long input that fails fails its job alone") {
    FakeEmbeddingModel model;
    EmbedRig rig(model);
    std::vector<TokenId> poisoned = run_of(1, 40);
    poisoned[20] = kPoison;
    const RequestId bad = rig.submit({poisoned});
    const RequestId good = rig.submit({run_of(1, 40), run_of(5, 5)});
    rig.check_failed(bad, ErrorKind::kGenerationFailed, "input 0");
    rig.check_complete(good);
}

TEST("values that are no numbers are an error, not an answer") {
    FakeEmbeddingModel model;
    EmbedRig rig(model);
    rig.check_failed(rig.submit({{5, kNotANumber}}), ErrorKind::kGenerationFailed, "finite");
    rig.check_complete(rig.submit({run_of(9, 9)}));
}

TEST("a job is cancelled while it waits, while it is computed, and between its parts") {
    FakeEmbeddingModel model;
    model.gate.hold();
    EmbedRig rig(model);
    const RequestId running = rig.submit({run_of(1, 16), run_of(1, 16)});
    CHECK(model.gate.reached());
    const RequestId waiting = rig.submit({run_of(1, 2)});
    const RequestId in_parts = rig.submit({run_of(1, 48)});
    rig.engine().cancel(waiting);
    rig.engine().cancel(running);
    rig.engine().cancel(9999);
    CHECK(model.gate.pass()); // at the first part
    CHECK_EQ(rig.wait(running).reason, FinishReason::kCancelled);
    CHECK_EQ(rig.wait(waiting).reason, FinishReason::kCancelled);
    CHECK(model.gate.pass()); // at the second
    CHECK(rig.is_open(in_parts));
    rig.engine().cancel(in_parts);
    model.gate.open();
    CHECK_EQ(rig.wait(in_parts).reason, FinishReason::kCancelled);
    CHECK(rig.wait(in_parts).values.empty());
    CHECK_EQ(model.batches().size(), 3);
    rig.check_complete(rig.submit({run_of(1, 48)}));
}

TEST("closing ends jobs in every state with an error, once") {
    FakeEmbeddingModel model;
    model.gate.hold();
    EmbedRig rig(model);
    const RequestId running = rig.submit({run_of(1, 16), run_of(1, 40)});
    CHECK(model.gate.reached());
    const RequestId waiting = rig.submit({run_of(1, 2)});
    rig.engine().close();
    rig.check_failed(running, ErrorKind::kEngineClosed, "closed");
    rig.check_failed(waiting, ErrorKind::kEngineClosed, "closed");
    std::unique_ptr<EmbedJob> late = make_job({run_of(1, 1)});
    CHECK_THROWS(EngineClosedError, rig.engine().submit(late));
    CHECK(late != nullptr);
}

TEST("the queue is bounded, and has room again when a job has ended") {
    FakeEmbeddingModel model;
    model.gate.hold();
    EmbedRig rig(model, {.max_queue = 2});
    const RequestId first = rig.submit({run_of(1, 2)});
    const RequestId second = rig.submit({run_of(2, 2)});
    std::unique_ptr<EmbedJob> refused = make_job({run_of(1, 1)});
    CHECK_THROWS(QueueFullError, rig.engine().submit(refused));
    REQUIRE(refused != nullptr);
    model.gate.open();
    rig.check_complete(first);
    rig.check_complete(second);
    rig.check_complete(rig.submit({run_of(3, 3)}));
}

TEST("a job that takes too long ends with an error") {
    FakeEmbeddingModel model;
    model.gate.hold();
    EmbedRig rig(model, {.max_queue = 8, .request_timeout_s = 0.02});
    const RequestId id = rig.submit({run_of(1, 16), run_of(1, 16)});
    CHECK(model.gate.reached());
    std::this_thread::sleep_for(std::chrono::milliseconds(40));
    model.gate.open();
    rig.check_failed(id, ErrorKind::kTimeout, "0.02 s");
    CHECK_EQ(rig.engine().metrics().timeouts.load(), 1);
}

namespace {

// Submits jobs of random inputs and cancels some; returns how many were accepted before the engine closed.
int submit_many(EmbedEngine &engine, unsigned seed) {
    std::minstd_rand random(seed);
    int n_accepted = 0;
    for (int i = 0; i < 200; ++i) {
        Inputs inputs(random() % 5 + 1);
        for (std::vector<TokenId> &input : inputs) {
            input = run_of(static_cast<TokenId>(random() % 100), random() % 60 + 1);
        }
        std::unique_ptr<EmbedJob> job = make_job(std::move(inputs));
        try {
            const RequestId id = engine.submit(job);
            ++n_accepted;
            if (random() % 4 == 0) {
                engine.cancel(id);
            }
        } catch (const EngineClosedError &) {
            break;
        }
    }
    return n_accepted;
}

} // namespace

TEST("many threads submit, cancel and close, and every job ends once") {
    for (int round = 0; round < 5; ++round) {
        FakeEmbeddingModel model;
        EmbedEngine engine(model.runner(), {.max_queue = 10'000});
        std::atomic<int> n_accepted{0};
        std::vector<std::thread> threads;
        for (unsigned seed = 0; seed < 4; ++seed) {
            threads.emplace_back([&, seed] { n_accepted += submit_many(engine, seed + 1); });
        }
        std::vector<RequestId> ended;
        const auto drain = [&] {
            for (const EmbedEnd &end : engine.events().take_all()) {
                ended.push_back(end.id);
            }
        };
        while (ended.size() < 100) {
            engine.events().wait(std::chrono::milliseconds(100));
            drain();
        }
        if (round % 2 == 0) {
            engine.close(); // under the submitting threads
        }
        for (std::thread &thread : threads) {
            thread.join();
        }
        engine.close();
        drain();
        CHECK_EQ(ended.size(), n_accepted.load());
        std::ranges::sort(ended);
        CHECK(std::ranges::adjacent_find(ended) == ended.end());
    }
}
