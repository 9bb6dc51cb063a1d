// One pool of KV cells for all slots.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "engine_rig.h"

#include "core/engine.h"

using namespace llamad;

namespace {

constexpr std::int32_t kCells = 160;
constexpr RunnerLimits kLimits{.n_slots = 4, .n_ctx = kCells, .n_batch = 32, .n_ubatch = 16, .unified = true};

struct Pool {
    explicit Pool(std::size_t store_bytes = 0, Memory memory = Memory::kFull)
        : model(with_memory(memory, kLimits)) {
        model.n_cells = kCells;
        model.gate.hold();
        rig = std::make_unique<EngineRig>(model, EngineLimits{.max_queue = 64}, store_bytes);
    }
    // Submitted while the engine stands at the gate with the first one.
    RequestId submit(const std::string &prompt, std::int32_t max_tokens, std::int32_t priority = 0) {
        auto request = make_request(prompt, max_tokens);
        request->priority = priority;
        const RequestId id = rig->submit(std::move(request));
        CHECK(model.gate.reached());
        asked.push_back({id, prompt, max_tokens});
        return id;
    }
    // All end as if each had been alone.
    void check_all() {
        model.gate.open();
        for (const auto &[id, prompt, max_tokens] : asked) {
            rig->check_complete(id, prompt, static_cast<std::size_t>(max_tokens));
        }
    }
    std::uint64_t n_preempted() const { return rig->metrics().preemptions.load(); }

    struct Asked {
        RequestId id;
        std::string prompt;
        std::int32_t max_tokens;
    };
    FakeModel model;
    std::unique_ptr<EngineRig> rig;
    std::vector<Asked> asked;
};

} // namespace

TEST("any one request may fill the pool") {
    Pool pool;
    const RequestId id = pool.submit(std::string(40, 'A'), 1000);
    pool.model.gate.open();
    pool.rig->check_complete(id, std::string(40, 'A'), 120);
    CHECK_EQ(pool.n_preempted(), 0);
}

TEST("when it is full the youngest gives way, and its text is what it would have been") {
    for (const std::size_t store_bytes : {std::size_t{0}, std::size_t{100000}}) {
        Pool pool(store_bytes);
        const RequestId old = pool.submit(std::string(20, 'A'), 100);
        const RequestId young = pool.submit(std::string(20, 'B'), 100);
        pool.check_all();
        CHECK(pool.n_preempted() >= 1);
        CHECK_EQ(pool.rig->ended(), std::vector<RequestId>{old, young});
        CHECK_EQ(pool.rig->wait(young).end->usage.completion_tokens, 100);
        CHECK_EQ(pool.rig->wait(young).end->usage.cached_tokens, 0); // of its first slot
        CHECK_EQ(pool.rig->metrics().prompt_tokens.load(), 40);      // counted once
        // Without a store what it had is computed again, with one it comes back.
        CHECK_EQ(pool.model.restores().empty(), store_bytes == 0);
        CHECK_EQ(pool.rig->metrics().prefilled_tokens.load() > 41, store_bytes == 0);
    }
}

TEST("the least urgent gives way first, though it came first") {
    Pool pool;
    const RequestId patient = pool.submit(std::string(20, 'A'), 100, /*priority=*/1);
    const RequestId urgent = pool.submit(std::string(20, 'B'), 100, /*priority=*/0);
    pool.check_all();
    CHECK(pool.n_preempted() >= 1);
    CHECK_EQ(pool.rig->ended(), std::vector<RequestId>{urgent, patient});
}

TEST("a streamed request that is preempted repeats nothing and loses nothing") {
    Pool pool(100000);
    pool.submit(std::string(20, 'A'), 100);
    auto request = make_request(std::string(20, 'B'), 100);
    request->stream = true;
    request->n_logprobs = 0;
    const RequestId id = pool.rig->submit(std::move(request));
    pool.model.gate.open();
    pool.rig->check_complete(id, std::string(20, 'B'), 100);
    const Result &result = pool.rig->wait(id);
    CHECK_EQ(tokens_of(result.text), result.tokens);
    CHECK_EQ(result.logprobs.size(), 100);
    CHECK(pool.n_preempted() >= 1);
}

TEST("nobody fails while each one fits alone") {
    for (const Memory memory : {Memory::kFull, Memory::kSlidingWindow, Memory::kRecurrent}) {
        for (const std::size_t store_bytes : {std::size_t{0}, std::size_t{2000}, std::size_t{100000}}) {
            Pool pool(store_bytes, memory);
            for (int i = 0; i < 24; ++i) {
                const std::string prompt(static_cast<std::size_t>(5 + i * 37 % 100),
                                         static_cast<char>('A' + i));
                pool.submit(prompt, kCells - static_cast<std::int32_t>(prompt.size()));
            }
            pool.check_all();
            CHECK(pool.n_preempted() > 0);
        }
    }
}

TEST("what is shared takes room once: nobody is preempted for it") {
    const std::string stem(50, 'S');
    Pool pool;
    for (const char letter : {'A', 'B', 'C'}) {
        pool.submit(stem + letter, 8);
    }
    pool.check_all();
    CHECK_EQ(pool.n_preempted(), 0);
    CHECK_EQ(pool.model.copies().size(), 2);
    CHECK_EQ(pool.model.n_computed(), 50 + 3 + 3 * 7);
}

TEST("idle slots give way before anybody is preempted, and what they held goes to the store") {
    Pool pool(100000);
    pool.model.gate.open();
    pool.rig->run(std::string(100, 'A'), 5);
    const std::string prompt(100, 'B');
    pool.rig->check_complete(pool.rig->submit(prompt, 40), prompt, 40);
    CHECK_EQ(pool.n_preempted(), 0);
    CHECK_EQ(pool.rig->run(std::string(100, 'A') + 'C', 5).end->usage.cached_tokens, 100);
    CHECK_EQ(pool.rig->metrics().restored_tokens.load(), 100);
}

TEST("preempted and cancelled, or closed: it ends once") {
    for (const bool closes : {false, true}) {
        Pool pool;
        const RequestId old = pool.submit(std::string(20, 'A'), 130);
        const RequestId young = pool.submit(std::string(20, 'B'), 130);
        for (int i = 0; i < 1000 && pool.n_preempted() == 0; ++i) {
            CHECK(pool.model.gate.pass());
        }
        REQUIRE(pool.n_preempted() == 1);
        if (closes) {
            pool.rig->close();
            pool.rig->check_failed(old, ErrorKind::kEngineClosed, "closed");
            pool.rig->check_failed(young, ErrorKind::kEngineClosed, "closed");
        } else {
            pool.rig->engine().cancel(young);
            pool.model.gate.open();
            pool.rig->check_complete(old, std::string(20, 'A'), 130);
            CHECK_EQ(pool.rig->wait(young).end->reason, FinishReason::kCancelled);
        }
        const Tokens &tokens = pool.rig->wait(young).tokens;
        CHECK(!tokens.empty());
        CHECK_EQ(tokens, generated(babble, Tokens(20, 'B'), tokens.size()));
    }
}
