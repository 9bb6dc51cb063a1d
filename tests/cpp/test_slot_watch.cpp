#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "engine_rig.h"

#include "core/published.h"
#include "core/slot_watch.h"

using namespace llamad;

namespace {

// A value whose parts only fit each other while it is whole.
struct Pair {
    std::uint64_t n = 0;
    std::uint64_t minus_n = 0;
    std::int32_t odd_size = 0;
};

} // namespace

TEST("what is published is read whole and never goes back, whoever is in the middle of what") {
    constexpr std::uint64_t kN = 50000;
    Published<Pair> published;
    std::thread writer([&] {
        for (std::uint64_t n = 1; n <= kN; ++n) {
            published.store({.n = n, .minus_n = ~n + 1, .odd_size = static_cast<std::int32_t>(n % 1000)});
        }
    });
    std::vector<std::thread> readers;
    for (int i = 0; i < 2; ++i) {
        readers.emplace_back([&] {
            std::uint64_t last = 0;
            while (last < kN) {
                const Pair pair = published.load();
                CHECK_EQ(pair.n + pair.minus_n, 0U);
                CHECK_EQ(pair.odd_size, pair.n % 1000);
                CHECK(pair.n >= last);
                last = pair.n;
            }
        });
    }
    writer.join();
    for (std::thread &reader : readers) {
        reader.join();
    }
}

TEST("onlookers see what each slot does") {
    FakeModel model;
    model.limits = {.n_slots = 2, .n_ctx = 64, .n_batch = 8, .n_ubatch = 4};
    model.gate.hold();
    EngineRig rig(model);
    const RequestId request = rig.submit("hello", 10);
    CHECK(model.gate.reached()); // at the prompt's first part
    CHECK(model.gate.pass());    // at its second
    const SlotView prefill = rig.engine().slots().at(0);
    CHECK_EQ(prefill.state, SlotView::State::kPrefill);
    CHECK_EQ(prefill.request, request);
    CHECK_EQ(prefill.n_prompt, 5);
    CHECK_EQ(prefill.n_computed, 4);
    CHECK_EQ(prefill.n_generated, 0);
    CHECK(prefill.submitted_at > TimePoint{});
    CHECK(model.gate.pass()); // at the second token
    CHECK(model.gate.pass()); // at the third
    const std::vector<SlotView> views = rig.engine().slots();
    CHECK_EQ(views.size(), 2);
    CHECK_EQ(views[0].state, SlotView::State::kDecode);
    CHECK_EQ(views[0].n_computed, 6);
    CHECK_EQ(views[0].n_generated, 2);
    CHECK_EQ(views[1].state, SlotView::State::kIdle);
    CHECK_EQ(rig.metrics().kv_cells_used.load(), 6);
    model.gate.open();
    rig.check_complete(request, "hello", 10);
    const SlotView idle = rig.engine().slots().at(0);
    CHECK_EQ(idle.state, SlotView::State::kIdle);
    CHECK_EQ(idle.request, 0);
    CHECK_EQ(idle.n_computed, 14); // held for the next one
    CHECK_EQ(rig.metrics().kv_cells_used.load(), 0);
    CHECK_EQ(rig.metrics().kv_cells_held.load(), 14);
}

TEST("a cached beginning shows") {
    FakeModel model;
    EngineRig rig(model);
    const std::string prompt(20, 'x');
    rig.run(prompt, 1);
    model.gate.hold();
    const RequestId again = rig.submit(prompt, 4);
    CHECK(model.gate.reached());
    CHECK(model.gate.pass());
    CHECK_EQ(rig.engine().slots().at(0).n_cached, 19);
    model.gate.open();
    rig.check_complete(again, prompt, 4);
}

TEST("looking on does not disturb, and works when the engine is closed") {
    FakeModel model;
    EngineRig rig(model);
    std::atomic<bool> done{false};
    std::thread onlooker([&] {
        while (!done) {
            for (const SlotView &view : rig.engine().slots()) {
                CHECK((view.state == SlotView::State::kIdle) == (view.request == 0));
                CHECK(view.n_generated <= 20 && view.n_computed <= 64);
            }
            static_cast<void>(rig.engine().silent_s());
        }
    });
    for (int round = 0; round < 20; ++round) {
        std::vector<RequestId> ids;
        for (int i = 0; i < 6; ++i) {
            ids.push_back(rig.submit(std::string(5, static_cast<char>('a' + i)), 20));
        }
        for (const RequestId id : ids) {
            rig.wait(id);
        }
    }
    rig.close();
    done = true;
    onlooker.join();
    CHECK_EQ(rig.engine().slots().size(), 4);
    CHECK_EQ(rig.engine().n_kv_cells(), 256);
}
