// What leaves its slot goes to the host store and comes back from there.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "engine_rig.h"
#include "store_rig.h"

#include "core/engine.h"

using namespace llamad;

namespace {

constexpr RunnerLimits kLimits{.n_slots = 2, .n_ctx = 256, .n_batch = 32, .n_ubatch = 16};
constexpr std::int32_t kAnswer = 5;
constexpr std::size_t kTokenBytes = sizeof(KvCell);
constexpr std::size_t kPlenty = 10000 * kTokenBytes;

// Six conversations of some turns each, one after the other in every turn. Returns the rows computed.
std::size_t converse(FakeModel &model, EngineRig &rig, int n_turns) {
    std::vector<std::string> conversations;
    for (char letter = 'A'; letter <= 'F'; ++letter) {
        conversations.emplace_back(40, letter);
    }
    for (int turn = 0; turn < n_turns; ++turn) {
        for (std::string &conversation : conversations) {
            const RequestId id = rig.submit(conversation, kAnswer);
            rig.check_complete(id, conversation, kAnswer);
            conversation += rig.wait(id).text + "AND NOW";
        }
    }
    return model.n_computed();
}

MakeStore on_disk(const TemporaryDirectory &directory, std::size_t max_bytes, Memory memory = Memory::kFull) {
    return [&directory, max_bytes, memory](std::function<void()> wake) {
        return std::make_unique<HostStore>(
            HostStore::Limits{.max_bytes = max_bytes, .can_trim = memory == Memory::kFull},
            std::make_unique<DiskStore>(DiskStore::Options{.directory = directory.path(),
                                                           .identity = "model",
                                                           .max_bytes = std::size_t{1} << 20,
                                                           .on_ready = std::move(wake)}));
    };
}

} // namespace

TEST("conversations that take turns on few slots compute only what is new") {
    for (const Memory memory : {Memory::kFull, Memory::kSlidingWindow, Memory::kRecurrent}) {
        const RunnerLimits limits = with_memory(memory, kLimits);
        FakeModel model(limits);
        EngineRig rig(model, {.max_queue = 8}, kPlenty);
        const std::size_t first_turn = 40 + kAnswer - 1;
        const std::size_t next_turn = 1 + 7 + kAnswer - 1; // the last answer's last token was never computed
        CHECK_EQ(converse(model, rig, 4), 6 * (first_turn + 3 * next_turn));
        CHECK_EQ(model.restores().size(), 6 * 3);
        const Metrics &metrics = rig.metrics();
        CHECK_EQ(metrics.restored_tokens.load(), metrics.cached_tokens.load());
        CHECK_EQ(metrics.store_evictions.load(), 0);
        CHECK(metrics.store_entries.load() >= 4);
        CHECK(metrics.store_bytes.load() >= std::size_t{4} * 40 * kTokenBytes);
    }
}

TEST("a store that is too small costs time, and no answer is wrong") {
    FakeModel model(kLimits);
    EngineRig rig(model, {.max_queue = 8}, 100 * kTokenBytes);
    converse(model, rig, 4);
    CHECK(rig.metrics().store_evictions.load() > 0);
    CHECK(rig.metrics().store_bytes.load() <= 100 * kTokenBytes);
}

TEST("without a store every turn that lost its slot computes everything") {
    FakeModel model(kLimits);
    EngineRig rig(model);
    converse(model, rig, 3);
    CHECK_EQ(rig.metrics().cached_tokens.load(), 0);
    CHECK(model.restores().empty());
}

TEST("where states are refused, everything is computed") {
    FakeModel model(kLimits);
    model.can_restore = false;
    EngineRig rig(model, {.max_queue = 8}, kPlenty);
    converse(model, rig, 3);
    CHECK_EQ(rig.metrics().restored_tokens.load(), 0);
    CHECK_EQ(rig.metrics().cached_tokens.load(), 0);
}

TEST("a store on disk serves the next process") {
    for (const Memory memory : {Memory::kFull, Memory::kSlidingWindow, Memory::kRecurrent}) {
        const TemporaryDirectory directory;
        const RunnerLimits limits = with_memory(memory, kLimits);
        const std::string prompt(60, 'P');
        std::string conversation = prompt;
        {
            FakeModel model(limits);
            EngineRig rig(model, {.max_queue = 8}, on_disk(directory, kPlenty, memory));
            conversation += rig.run(prompt, kAnswer).text + "AND NOW";
            rig.close(); // saves what the slots hold
        }
        CHECK_EQ(files_in(directory.path()).size(), 1);
        FakeModel model(limits);
        EngineRig rig(model, {.max_queue = 8}, on_disk(directory, kPlenty, memory));
        // The files of the last process are found soon after the start, not before it.
        CHECK(eventually([&] {
            rig.engine().cancel(0); // wakes the engine
            rig.run("?", 1);
            return rig.metrics().store_entries.load() == 1;
        }));
        const RequestId id = rig.submit(conversation, kAnswer);
        rig.check_complete(id, conversation, kAnswer);
        CHECK_EQ(rig.wait(id).end->usage.cached_tokens, 60 + kAnswer - 1);
    }
}

TEST("what several slots hold is saved once at the close") {
    const TemporaryDirectory directory;
    FakeModel model(kLimits);
    EngineRig rig(model, {.max_queue = 8}, on_disk(directory, kPlenty));
    std::vector<std::unique_ptr<Request>> twins;
    for (int i = 0; i < 2; ++i) {
        twins.push_back(make_request(std::string(60, 'P'), kAnswer));
    }
    for (const RequestId id : rig.submit(std::move(twins))) {
        rig.wait(id);
    }
    rig.close();
    CHECK_EQ(files_in(directory.path()).size(), 1);
}

TEST("what is saved at the close is what the slots hold, also where it cut a decode short") {
    for (const Memory memory : {Memory::kFull, Memory::kSlidingWindow, Memory::kRecurrent}) {
        const TemporaryDirectory directory;
        const RunnerLimits limits = with_memory(memory, kLimits);
        const std::string prompt(100, 'P');
        {
            FakeModel model(limits);
            model.gate.hold();
            EngineRig rig(model, {.max_queue = 8}, on_disk(directory, kPlenty, memory));
            const RequestId id = rig.submit(prompt, kAnswer);
            CHECK(model.gate.reached());
            for (int chunk = 0; chunk < 4; ++chunk) {
                CHECK(model.gate.pass());
            }
            rig.close(); // 64 tokens are computed, and some of the next 16
            rig.check_failed(id, ErrorKind::kEngineClosed, "closed");
        }
        // What cannot be rolled back is not saved.
        CHECK_EQ(files_in(directory.path()).size(), memory == Memory::kRecurrent ? 0 : 1);
        FakeModel model(limits);
        EngineRig rig(model, {.max_queue = 8}, on_disk(directory, kPlenty, memory));
        rig.check_complete(rig.submit(prompt, kAnswer), prompt, kAnswer);
    }
}
