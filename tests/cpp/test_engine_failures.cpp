#include <algorithm>
#include <string>
#include <vector>

#include "check.h"
#include "engine_rig.h"

#include "core/engine.h"

using namespace llamad;

namespace {

const std::string poison(1, static_cast<char>(kPoisonToken));

// Submits the prompts so that they arrive together, after a first request, which ends at once.
std::vector<RequestId> submit_together(FakeModel &model, EngineRig &rig,
                                       const std::vector<std::string> &prompts, std::int32_t max_tokens) {
    rig.submit("!", 1);
    CHECK(model.gate.reached());
    std::vector<RequestId> ids;
    for (const std::string &prompt : prompts) {
        ids.push_back(rig.submit(prompt, max_tokens));
    }
    model.gate.open();
    return ids;
}

// Some batch of several slots came out like this.
bool some_joint_batch(const FakeModel &model, DecodeStatus status) {
    return std::ranges::any_of(model.decodes(), [status](const DecodeCall &call) {
        return call.status == status && call.rows.front().slot != call.rows.back().slot;
    });
}

} // namespace

TEST("a prompt that cannot be computed fails alone") {
    FakeModel model;
    model.gate.hold();
    EngineRig rig(model);
    const std::vector<std::string> prompts{"AB", "CD" + poison, "EFG", "H"};
    const auto ids = submit_together(model, rig, prompts, 6);
    rig.check_failed(ids[1], ErrorKind::kGenerationFailed, "could not compute");
    for (const std::size_t i : {0U, 2U, 3U}) {
        rig.check_complete(ids[i], prompts[i], 6);
    }
    CHECK(some_joint_batch(model, DecodeStatus::kFailed));
}

TEST("a token that cannot be computed fails its request alone, in the middle of decoding") {
    FakeModel model;
    model.next = [](std::span<const TokenId> tokens) {
        return tokens[0] == 'P' && tokens.size() == 7 ? kPoisonToken : babble(tokens);
    };
    model.gate.hold();
    EngineRig rig(model);
    const std::vector<std::string> prompts{"AB", "P", "EFG", "H"};
    const auto ids = submit_together(model, rig, prompts, 12);
    rig.check_failed(ids[1], ErrorKind::kGenerationFailed, "could not compute");
    CHECK_EQ(rig.wait(ids[1]).tokens, generated(model.next, tokens_of("P"), 7));
    for (const std::size_t i : {0U, 2U, 3U}) {
        rig.check_complete(ids[i], prompts[i], 12);
    }
    CHECK(some_joint_batch(model, DecodeStatus::kFailed));
}

TEST("a failure that does not come back costs nobody anything") {
    FakeModel model;
    model.outcomes = {DecodeStatus::kOk, DecodeStatus::kOk, DecodeStatus::kFailed};
    model.gate.hold();
    EngineRig rig(model);
    const std::vector<std::string> prompts{"AB", "CD", "EFG", "H"};
    const auto ids = submit_together(model, rig, prompts, 6);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        rig.check_complete(ids[i], prompts[i], 6);
    }
    CHECK(some_joint_batch(model, DecodeStatus::kFailed));
}

TEST("what cannot be rolled back fails, and the engine goes on") {
    FakeModel model;
    model.limits = with_memory(Memory::kRecurrent, model.limits);
    model.outcomes = {DecodeStatus::kOk, DecodeStatus::kOk, DecodeStatus::kFailed};
    model.gate.hold();
    EngineRig rig(model);
    const std::vector<std::string> prompts{"AB", "CD", "EFG", "H"};
    const auto ids = submit_together(model, rig, prompts, 6);
    std::size_t n_complete = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (rig.wait(ids[i]).end->reason == FinishReason::kError) {
            rig.check_failed(ids[i], ErrorKind::kGenerationFailed, "could not compute");
        } else {
            rig.check_complete(ids[i], prompts[i], 6);
            ++n_complete;
        }
    }
    CHECK_EQ(n_complete, 2); // of four slots, two had been written
    rig.check_complete(rig.submit("NEXT", 6), "NEXT", 6);
}

TEST("a full cache first forgets what idle slots hold") {
    FakeModel model;
    model.n_cells = 20;
    EngineRig rig(model);
    rig.check_complete(rig.submit("ABCDEFGH", 3), "ABCDEFGH", 3);
    rig.check_complete(rig.submit("IJKLMNOPQR", 8), "IJKLMNOPQR", 8);
    CHECK_EQ(model.trims(), std::vector<TrimCall>{{0, 0}});
    CHECK_EQ(rig.run("ABCDEFGH", 3).end->usage.cached_tokens, 0);
}

TEST("a batch without room is computed in halves") {
    FakeModel model;
    model.outcomes = {DecodeStatus::kOk, DecodeStatus::kNoRoom, DecodeStatus::kNoRoom, DecodeStatus::kNoRoom};
    model.gate.hold();
    EngineRig rig(model);
    const std::vector<std::string> prompts{"ABCD", "EFG", "HI", "JKLMN"};
    const auto ids = submit_together(model, rig, prompts, 6);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        rig.check_complete(ids[i], prompts[i], 6);
    }
    CHECK(some_joint_batch(model, DecodeStatus::kNoRoom));
}

TEST("the second half finds room where the first one's request has ended") {
    FakeModel model;
    model.n_cells = 9;
    model.gate.hold();
    EngineRig rig(model);
    const auto ids = submit_together(model, rig, {"ABCDEF", "GHIJKL"}, 1);
    rig.check_complete(ids[0], "ABCDEF", 1);
    rig.check_complete(ids[1], "GHIJKL", 1);
    CHECK(some_joint_batch(model, DecodeStatus::kNoRoom));
}

TEST("a full cache fails the longest request and no other") {
    FakeModel model;
    model.n_cells = 30;
    model.gate.hold();
    EngineRig rig(model);
    const auto ids = submit_together(model, rig, {"AB", "CDEFGHIJKL", "M"}, 15);
    rig.check_failed(ids[1], ErrorKind::kGenerationFailed, "KV cache is full");
    const Tokens whole = generated(babble, tokens_of("CDEFGHIJKL"), 15);
    const Tokens &partial = rig.wait(ids[1]).tokens;
    CHECK(!partial.empty() && std::equal(partial.begin(), partial.end(), whole.begin()));
    rig.check_complete(ids[0], "AB", 15);
    rig.check_complete(ids[2], "M", 15);
}

TEST("a request larger than the cache fails, and the next is served") {
    FakeModel model;
    model.n_cells = 10;
    EngineRig rig(model);
    rig.check_failed(rig.submit("A PROMPT OF TWENTY-SIX TOKENS", 5), ErrorKind::kGenerationFailed,
                     "KV cache is full");
    rig.check_failed(rig.submit("ABCDEF", 50), ErrorKind::kGenerationFailed, "KV cache is full");
    rig.check_complete(rig.submit("ABCDEF", 4), "ABCDEF", 4);
}

TEST("a request that is given up while a failure is being isolated ends once") {
    FakeModel model;
    model.limits.n_slots = 3;
    // The joint decode fails; then there is no room for the first slot's row alone.
    model.outcomes = {DecodeStatus::kOk, DecodeStatus::kOk, DecodeStatus::kFailed, DecodeStatus::kNoRoom};
    model.gate.hold();
    EngineRig rig(model);
    const std::vector<std::string> prompts{"AB", "CDEFGHI", "JKL"};
    const auto ids = submit_together(model, rig, prompts, 6);
    rig.check_failed(ids[1], ErrorKind::kGenerationFailed, "KV cache is full");
    rig.check_complete(ids[0], prompts[0], 6);
    rig.check_complete(ids[2], prompts[2], 6);
}

TEST("a sampler that throws fails its request alone") {
    FakeModel model;
    model.gate.hold();
    EngineRig rig(model);
    const RequestId before = rig.submit("A", 9);
    auto request = make_request("B", 9);
    request->chain = std::make_unique<FakeChain>(/*when=*/0);
    const RequestId at_once = rig.submit(std::move(request));
    request = make_request("C", 9);
    request->chain = std::make_unique<FakeChain>(/*when=*/3);
    const RequestId later = rig.submit(std::move(request));
    const RequestId after = rig.submit("D", 9);
    model.gate.open();
    rig.check_failed(at_once, ErrorKind::kGenerationFailed, "dead end");
    rig.check_failed(later, ErrorKind::kGenerationFailed, "dead end");
    CHECK(rig.wait(at_once).tokens.empty());
    CHECK_EQ(rig.wait(later).tokens, generated(babble, tokens_of("C"), 3));
    rig.check_complete(before, "A", 9);
    rig.check_complete(after, "D", 9);
    rig.check_complete(rig.submit("CC", 9), "CC", 9); // the stream is still good
}

TEST("logits without a usable number fail the request") {
    FakeModel model;
    model.logits_are_nan = true;
    EngineRig rig(model);
    rig.check_failed(rig.submit("A", 9), ErrorKind::kGenerationFailed, "no usable logits");
}
