#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "engine_rig.h"

#include "core/engine.h"

using namespace llamad;

TEST("a greedy request generates what the model says, in one event if it is not streamed") {
    FakeModel model;
    EngineRig rig(model);
    const RequestId id = rig.submit("hello", 10);
    rig.check_complete(id, "hello", 10);
    const Result &result = rig.wait(id);
    CHECK_EQ(result.end->reason, FinishReason::kLength);
    CHECK_EQ(result.n_events, 1);
    CHECK_EQ(tokens_of(result.text), result.tokens);
    CHECK_EQ(result.end->usage.prompt_tokens, 5);
    CHECK_EQ(result.end->usage.cached_tokens, 0);
}

TEST("a streamed request delivers each token before the next is computed") {
    FakeModel model;
    model.gate.hold();
    EngineRig rig(model);
    auto request = make_request("hello", 5);
    request->stream = true;
    const RequestId id = rig.submit(std::move(request));
    CHECK(model.gate.reached());
    for (std::size_t n = 1; n < 5; ++n) {
        CHECK(model.gate.pass());
        CHECK_EQ(rig.so_far(id).tokens, generated(babble, tokens_of("hello"), n));
        CHECK(!rig.so_far(id).end);
    }
    model.gate.open();
    rig.check_complete(id, "hello", 5);
    CHECK_EQ(rig.wait(id).n_events, 5);
}

TEST("many requests on few slots all get their own answer") {
    FakeModel model;
    EngineRig rig(model, {.max_queue = 100});
    std::vector<std::pair<RequestId, std::string>> requests;
    for (int i = 0; i < 100; ++i) {
        const std::string prompt =
            std::string(static_cast<std::size_t>(1 + i * 7 % 40), 'p') + std::to_string(i);
        auto request = make_request(prompt, 1 + i % 13);
        request->stream = i % 2 == 0;
        if (i % 3 == 0) {
            request->chain = std::make_unique<FakeChain>();
        }
        requests.emplace_back(rig.submit(std::move(request)), prompt);
    }
    for (std::size_t i = 0; i < requests.size(); ++i) {
        rig.check_complete(requests[i].first, requests[i].second, 1 + i % 13);
    }
    CHECK_EQ(rig.engine().metrics().finished[static_cast<std::size_t>(FinishReason::kLength)].load(), 100);
}

TEST("an end-of-generation token ends the text and counts") {
    FakeModel model;
    model.next = recite("hi");
    EngineRig rig(model);
    const Result &result = rig.run("say>", 10);
    CHECK_EQ(result.text, "hi");
    CHECK_EQ(result.tokens, Tokens{'h', 'i', kEndToken});
    CHECK_EQ(result.end->reason, FinishReason::kStop);
}

TEST("a stop string that is spread over tokens never shows") {
    FakeModel model;
    model.next = recite("caf\u00e9 \U0001F600 EN END more");
    EngineRig rig(model);
    for (const bool stream : {false, true}) {
        auto request = make_request(stream ? "streamed>" : "whole>", 50);
        request->stop = {"nothing", "END"};
        request->stream = stream;
        const Result &result = rig.run(std::move(request));
        CHECK_EQ(result.text, "caf\u00e9 \U0001F600 EN ");
        CHECK_EQ(result.end->stop_string, "END");
        CHECK_EQ(result.end->reason, FinishReason::kStop);
    }
}

TEST("one token is sampled from the prompt's last row and not computed") {
    FakeModel model;
    EngineRig rig(model);
    rig.check_complete(rig.submit("hello", 1), "hello", 1);
    CHECK_EQ(model.n_computed(), 5);
    CHECK_EQ(model.decodes().size(), 1);
}

TEST("a full context ends the request with exactly n_ctx tokens") {
    FakeModel model; // n_ctx is 64
    EngineRig rig(model);
    for (const std::size_t n_prompt : {1U, 60U, 63U}) {
        const std::string prompt(n_prompt, static_cast<char>('A' + n_prompt % 26));
        const RequestId id = rig.submit(prompt, 1000);
        rig.check_complete(id, prompt, 64 - n_prompt);
        CHECK_EQ(rig.wait(id).end->reason, FinishReason::kLength);
        CHECK_EQ(rig.wait(id).end->usage.completion_tokens, 64 - n_prompt);
    }
}

TEST("forbidden tokens are never taken") {
    FakeModel model;
    EngineRig rig(model);
    auto request = make_request("hello", 4);
    request->forbidden = tokens_of("abcdefghijklmnopqrstuvwxyz");
    CHECK_EQ(rig.run(std::move(request)).text, "????");
}

TEST("logprobs come with every token, for those who ask") {
    FakeModel model;
    EngineRig rig(model);
    for (const std::int32_t n_logprobs : {-1, 0, 2}) {
        for (const bool stream : {false, true}) {
            auto request = make_request("hello", 6);
            request->n_logprobs = n_logprobs;
            request->stream = stream;
            const Result &result = rig.run(std::move(request));
            REQUIRE(result.tokens.size() == 6 && result.logprobs.size() == (n_logprobs < 0 ? 0 : 6));
            for (std::size_t i = 0; i < result.logprobs.size(); ++i) {
                const TokenLogprobs &logprobs = result.logprobs[i];
                CHECK_EQ(logprobs.token, result.tokens[i]);
                CHECK(logprobs.logprob < 0 && logprobs.logprob > -10);
                REQUIRE(std::cmp_equal(logprobs.top.size(), n_logprobs));
                CHECK(n_logprobs <= 0 || logprobs.top[0] == std::pair(logprobs.token, logprobs.logprob));
                CHECK(n_logprobs < 2 || logprobs.top[1].first == '?'); // the model's second choice
            }
        }
    }
}

TEST("a running request gets a token between two chunks of somebody's prompt") {
    FakeModel model;
    model.gate.hold();
    EngineRig rig(model, {.max_queue = 4});
    const RequestId running = rig.submit("a", 20);
    CHECK(model.gate.reached());
    CHECK(model.gate.pass()); // now it decodes
    const std::string prompt = "a prompt of thirty-one letters.";
    const RequestId coming = rig.submit(prompt, 5);
    model.gate.open();
    rig.check_complete(running, "a", 20);
    rig.check_complete(coming, prompt, 5);

    std::vector<std::size_t> chunks;
    bool last_was_prompt = false;
    for (const DecodeCall &call : model.decodes()) {
        const bool is_prompt =
            call.rows.front().slot == 1 && call.rows.front().pos < static_cast<Pos>(prompt.size());
        CHECK(!(is_prompt && last_was_prompt));
        last_was_prompt = is_prompt;
        if (is_prompt) {
            chunks.push_back(call.rows.size());
        }
    }
    CHECK_EQ(chunks, std::vector<std::size_t>{8, 16, 7}); // the least at first, then n_ubatch at most
}

TEST("the counters add up") {
    FakeModel model;
    model.limits.n_slots = 1;
    EngineRig rig(model);
    rig.run("HELLO", 4);
    rig.run("HELLO WORLD", 3);
    const Metrics &metrics = rig.engine().metrics();
    CHECK_EQ(metrics.prompt_tokens.load(), 16);
    CHECK_EQ(metrics.cached_tokens.load(), 5);
    CHECK_EQ(metrics.prefilled_tokens.load(), 11);
    CHECK_EQ(metrics.generated_tokens.load(), 7);
    CHECK_EQ(metrics.decode_calls.load(), 7);
    CHECK(metrics.steps.load() >= 5);
    CHECK_EQ(metrics.finished[static_cast<std::size_t>(FinishReason::kLength)].load(), 2);
    CHECK_EQ(metrics.finished[static_cast<std::size_t>(FinishReason::kError)].load(), 0);
}

TEST("the gauges tell what runs and what waits") {
    FakeModel model;
    model.limits.n_slots = 2;
    model.gate.hold();
    EngineRig rig(model);
    std::vector<RequestId> ids{rig.submit("A", 3)};
    CHECK(model.gate.reached());
    for (const char *prompt : {"B", "C", "D"}) {
        ids.push_back(rig.submit(prompt, 3));
    }
    CHECK(model.gate.pass()); // A has its first token; the others have arrived and B is placed
    CHECK(model.gate.pass()); // A has its second token, and that was reported
    CHECK_EQ(rig.engine().metrics().running.load(), 2);
    CHECK_EQ(rig.engine().metrics().waiting.load(), 2);
    model.gate.open();
    for (const RequestId id : ids) {
        rig.wait(id);
    }
    CHECK_EQ(rig.engine().metrics().running.load(), 0);
    CHECK_EQ(rig.engine().metrics().waiting.load(), 0);
}
