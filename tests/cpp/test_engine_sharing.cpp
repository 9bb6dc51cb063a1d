// Requests with the same beginning compute it once, wherever they run. Prompts are in capitals and answers in
// small letters, so that no prompt matches an answer by chance.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "engine_rig.h"

#include "core/engine.h"

using namespace llamad;

namespace {

constexpr RunnerLimits kLimits{.n_slots = 8, .n_ctx = 256, .n_batch = 32, .n_ubatch = 16};
constexpr std::int32_t kAnswer = 6; // tokens; the last one is not computed
const std::string stem(100, 'S');

// The engine stands at the gate, about to compute the first part of a prompt.
struct Leader {
    explicit Leader(const std::string &prompt, const RunnerLimits &limits = kLimits)
        : model(limits), rig((model.gate.hold(), model)), id(rig.submit(prompt, kAnswer)) {
        CHECK(model.gate.reached());
    }

    FakeModel model;
    EngineRig rig;
    RequestId id;
};

std::int32_t n_cached(EngineRig &rig, RequestId id) { return rig.wait(id).end->usage.cached_tokens; }

} // namespace

TEST("copies of one request, submitted together, compute their prompt once") {
    FakeModel model(kLimits);
    EngineRig rig(model);
    std::vector<std::unique_ptr<Request>> requests;
    for (int i = 0; i < 8; ++i) {
        requests.push_back(make_request(stem, kAnswer));
    }
    const std::vector<RequestId> ids = rig.submit(std::move(requests));
    for (const RequestId id : ids) {
        rig.check_complete(id, stem, kAnswer);
        CHECK_EQ(n_cached(rig, id), id == ids[0] ? 0 : 99);
    }
    CHECK_EQ(model.n_computed(), 100 + 7 + 8 * (kAnswer - 1));
    CHECK_EQ(model.copies().size(), 7);
    CHECK_EQ(rig.metrics().copied_tokens.load(), 7 * 99);
    CHECK_EQ(rig.metrics().cached_tokens.load(), 7 * 99);
    CHECK_EQ(rig.metrics().prefilled_tokens.load(), 100 + 7);
}

TEST("requests that share a beginning compute it once and copy it") {
    Leader leader(stem + 'A');
    std::vector<std::pair<RequestId, std::string>> others;
    for (char letter = 'B'; letter <= 'H'; ++letter) {
        const std::string prompt = stem + letter;
        others.emplace_back(leader.rig.submit(prompt, kAnswer), prompt);
    }
    leader.model.gate.open();
    leader.rig.check_complete(leader.id, stem + 'A', kAnswer);
    for (const auto &[id, prompt] : others) {
        leader.rig.check_complete(id, prompt, kAnswer);
        CHECK_EQ(n_cached(leader.rig, id), 100);
    }
    CHECK_EQ(leader.model.n_computed(), 100 + 8 + 8 * (kAnswer - 1));
}

TEST("a request with another salt shares nothing") {
    Leader leader(stem + 'A');
    auto request = make_request(stem + 'A', kAnswer);
    request->cache_salt = "another";
    const RequestId other = leader.rig.submit(std::move(request));
    leader.model.gate.open();
    leader.rig.check_complete(other, stem + 'A', kAnswer);
    leader.rig.check_complete(leader.id, stem + 'A', kAnswer);
    CHECK_EQ(n_cached(leader.rig, other), 0);
    CHECK_EQ(leader.model.n_computed(), 2 * (101 + kAnswer - 1));
    CHECK(leader.model.copies().empty());

    request = make_request(stem + 'B', kAnswer); // nor when both are idle; with its own salt it does
    request->cache_salt = "another";
    CHECK_EQ(n_cached(leader.rig, leader.rig.submit(std::move(request))), 100);
    request = make_request(stem + 'B', kAnswer);
    request->cache_salt = "a third";
    CHECK_EQ(n_cached(leader.rig, leader.rig.submit(std::move(request))), 0);
}

TEST("where the first one is cancelled in its prompt, a waiter goes on from there and the rest wait for it") {
    Leader leader(stem + 'A');
    const RequestId heir = leader.rig.submit(stem + 'B', kAnswer);
    const RequestId last = leader.rig.submit(stem + 'C', kAnswer);
    CHECK(leader.model.gate.pass());
    CHECK(leader.model.gate.pass()); // 32 are computed
    leader.rig.engine().cancel(leader.id);
    leader.model.gate.open();
    leader.rig.check_complete(heir, stem + 'B', kAnswer);
    leader.rig.check_complete(last, stem + 'C', kAnswer);
    CHECK_EQ(leader.rig.wait(leader.id).end->reason, FinishReason::kCancelled);
    CHECK_EQ(n_cached(leader.rig, heir), 48); // what was under way included
    CHECK_EQ(n_cached(leader.rig, last), 100);
    CHECK_EQ(leader.model.n_computed(), 100 + 2 + 2 * (kAnswer - 1));
    CHECK_EQ(leader.model.copies().size(), 1);
}

TEST("where the first one fails, the others compute it without him") {
    const std::string poison(1, static_cast<char>(kPoisonToken));
    Leader leader(stem + poison);
    const RequestId heir = leader.rig.submit(stem + 'B', kAnswer);
    const RequestId last = leader.rig.submit(stem + 'C', kAnswer);
    leader.model.gate.open();
    leader.rig.check_failed(leader.id, ErrorKind::kGenerationFailed, "could not compute");
    leader.rig.check_complete(heir, stem + 'B', kAnswer);
    leader.rig.check_complete(last, stem + 'C', kAnswer);
    CHECK_EQ(n_cached(leader.rig, last), 100);
}

TEST("who waits for a prefix can be cancelled, run out of time, or lose the engine") {
    Leader leader(stem + 'A');
    const RequestId cancelled = leader.rig.submit(stem + 'B', kAnswer);
    auto request = make_request(stem + 'C', kAnswer);
    request->timeout_s = 1e-6;
    const RequestId late = leader.rig.submit(std::move(request));
    const RequestId left = leader.rig.submit(stem + 'D', kAnswer);
    CHECK(leader.model.gate.pass());
    leader.rig.engine().cancel(cancelled);
    CHECK(leader.model.gate.pass());
    CHECK_EQ(leader.rig.metrics().waiting.load(), 1);
    leader.rig.close();
    CHECK_EQ(leader.rig.wait(cancelled).end->reason, FinishReason::kCancelled);
    leader.rig.check_failed(late, ErrorKind::kTimeout, "did not finish");
    leader.rig.check_failed(left, ErrorKind::kEngineClosed, "closed");
    leader.rig.check_failed(leader.id, ErrorKind::kEngineClosed, "closed");
    CHECK_EQ(leader.model.n_computed(), 32);
}

TEST("where a copy is refused, the prompt is computed") {
    Leader leader(stem + 'A');
    leader.model.can_copy = false; // the engine thread stands at the gate
    const RequestId other = leader.rig.submit(stem + 'B', kAnswer);
    leader.model.gate.open();
    leader.rig.check_complete(other, stem + 'B', kAnswer);
    leader.rig.check_complete(leader.id, stem + 'A', kAnswer);
    CHECK_EQ(n_cached(leader.rig, other), 0);
    CHECK_EQ(leader.model.n_computed(), 2 * (101 + kAnswer - 1));
}

TEST("a slot is copied from while it goes on generating") {
    FakeModel model(kLimits);
    model.gate.hold();
    EngineRig rig(model);
    auto request = make_request(stem, 100);
    request->stream = true;
    const RequestId running = rig.submit(std::move(request));
    CHECK(model.gate.reached());
    for (int i = 0; i < 20; ++i) {
        CHECK(model.gate.pass());
    }
    const std::string said = rig.so_far(running).text;
    REQUIRE(said.size() > 10);
    const std::string prompt = stem + said.substr(0, 10) + "AND NOW";
    const RequestId next = rig.submit(prompt, kAnswer);
    model.gate.open();
    rig.check_complete(next, prompt, kAnswer);
    CHECK_EQ(n_cached(rig, next), 110);
    rig.check_complete(running, stem, 100);
    CHECK_EQ(model.copies(), std::vector<CopyCall>{{0, 1}});
}

TEST("a memory whose states cannot be trimmed shares whole streams only, and answers right") {
    for (const Memory memory : {Memory::kRecurrent, Memory::kSlidingWindow}) {
        Leader leader(stem + 'A', with_memory(memory, kLimits));
        const RequestId same = leader.rig.submit(stem + 'A', kAnswer);
        const RequestId other = leader.rig.submit(stem + 'B', kAnswer);
        leader.model.gate.open();
        leader.rig.check_complete(leader.id, stem + 'A', kAnswer);
        leader.rig.check_complete(same, stem + 'A', kAnswer);
        leader.rig.check_complete(other, stem + 'B', kAnswer);
        CHECK(leader.model.copies().empty());
        const std::string next = stem + 'A' + leader.rig.wait(leader.id).text + "AND NOW";
        CHECK_EQ(n_cached(leader.rig, leader.rig.submit(next, kAnswer)), 101 + kAnswer - 1);
        // In its own slot a window that is still whole can be cut.
        CHECK_EQ(n_cached(leader.rig, leader.rig.submit(stem + "BC", kAnswer)),
                 memory == Memory::kSlidingWindow ? 101 : 0);
    }
}
