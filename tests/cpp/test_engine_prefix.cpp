// Prompts are in capitals and answers in small letters, so that no prompt matches an answer by chance.
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "engine_rig.h"

#include "core/engine.h"

using namespace llamad;

namespace {

// One slot, so that each request meets the stream of the one before it.
struct OneSlot {
    explicit OneSlot(Memory memory = Memory::kFull) {
        model.limits.n_slots = 1;
        model.limits = with_memory(memory, model.limits);
        rig = std::make_unique<EngineRig>(model);
    }
    // Runs a request to its end and returns its answer.
    std::string run(const std::string &prompt, std::int32_t n_cached, std::int32_t max_tokens = 5) const {
        const std::size_t before = model.n_computed();
        const RequestId id = rig->submit(prompt, max_tokens);
        rig->check_complete(id, prompt, static_cast<std::size_t>(max_tokens));
        CHECK_EQ(rig->wait(id).end->usage.cached_tokens, n_cached);
        CHECK_EQ(model.n_computed() - before,
                 static_cast<std::int32_t>(prompt.size()) - n_cached + max_tokens - 1);
        return rig->wait(id).text;
    }

    FakeModel model;
    std::unique_ptr<EngineRig> rig;
};

} // namespace

TEST("a prompt with the same beginning computes only the rest") {
    OneSlot one;
    one.run("SYSTEM: ABC", 0);
    one.run("SYSTEM: ABCDEF", 11);
    one.run("SYSTEM: XY", 8);
    CHECK_EQ(one.model.trims(), std::vector<TrimCall>{{0, 11}, {0, 8}});
}

TEST("the next turn of a conversation computes neither the prompt nor the answer again") {
    OneSlot one;
    const std::string answer = one.run("QUESTION", 0);
    // The last token of the answer was sampled but never computed.
    one.run("QUESTION" + answer + "AND NOW", 8 + 4);
    CHECK(one.model.trims().empty());
}

TEST("a prompt that is wholly there computes its last token") {
    OneSlot one;
    const std::string answer = one.run("PROMPT", 0);
    CHECK_EQ(one.run("PROMPT", 5), answer);
    CHECK_EQ(one.run("PROMPT", 5), answer);
    one.run("PRO", 2);
}

TEST("a memory that cannot be trimmed computes everything again, correctly") {
    OneSlot one(Memory::kRecurrent);
    one.run("SYSTEM: ABC", 0);
    one.run("SYSTEM: ABCDEF", 0);
    CHECK_EQ(one.model.trims(), std::vector<TrimCall>{{0, 0}});
}

TEST("such a memory still serves a prompt that only continues") {
    OneSlot one(Memory::kRecurrent);
    const std::string answer = one.run("QUESTION", 0);
    one.run("QUESTION" + answer + "AND NOW", 8 + 4);
    CHECK(one.model.trims().empty());
}

TEST("a stream with nothing in common is dropped") {
    OneSlot one;
    one.run("ABC", 0);
    one.run("XYZ", 0);
    CHECK_EQ(one.model.trims(), std::vector<TrimCall>{{0, 0}});
}

TEST("conversations keep to their slots") {
    FakeModel model;
    EngineRig rig(model);
    for (const char letter : {'A', 'B', 'C'}) {
        rig.run(std::string(40, letter), 3);
    }
    for (const char letter : {'C', 'A', 'B'}) {
        CHECK_EQ(rig.run(std::string(40, letter) + '+', 3).end->usage.cached_tokens, 40);
    }
    CHECK(model.copies().empty());
}

TEST("what a cancelled request computed serves the next") {
    FakeModel model;
    model.limits.n_slots = 1;
    model.gate.hold();
    EngineRig rig(model);
    const std::string prompt(40, 'P');
    const RequestId cancelled = rig.submit(prompt, 5);
    CHECK(model.gate.reached());
    rig.engine().cancel(cancelled);
    const RequestId next = rig.submit(prompt, 5);
    model.gate.open();
    rig.check_complete(next, prompt, 5);
    CHECK_EQ(rig.wait(next).end->usage.cached_tokens, 16); // one n_ubatch
    CHECK_EQ(rig.wait(cancelled).end->reason, FinishReason::kCancelled);
}

TEST("a slot whose request failed starts afresh") {
    FakeModel model;
    model.limits.n_slots = 1;
    EngineRig rig(model);
    const std::string poison(1, static_cast<char>(kPoisonToken));
    rig.check_failed(rig.submit("PROMPT" + poison, 5), ErrorKind::kGenerationFailed, "could not compute");
    const RequestId id = rig.submit("PROMPT", 5);
    rig.check_complete(id, "PROMPT", 5);
    CHECK_EQ(rig.wait(id).end->usage.cached_tokens, 0);
}
