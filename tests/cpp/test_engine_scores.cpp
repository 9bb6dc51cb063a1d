#include <algorithm>
#include <string>

#include "check.h"
#include "engine_rig.h"

using namespace llamad;

namespace {

constexpr std::int32_t kSlots = 3;
constexpr std::int32_t kScoredRows = 5;

RunnerLimits limits() {
    return {
        .n_slots = kSlots, .n_ctx = 128, .n_batch = 64, .n_ubatch = 16, .n_outputs = kSlots + kScoredRows};
}

std::unique_ptr<Request> scored(std::string_view prompt, std::int32_t max_tokens, std::size_t first = 1) {
    auto request = make_request(prompt, max_tokens);
    request->n_prompt_logprobs = 2;
    request->first_scored = first;
    return request;
}

// What the model thinks of each token from `first` on. The fake's logits are 2 for what it would say next, 1
// for '?', 0 for the rest.
void check_scores(const End &end, std::string_view prompt, std::size_t first = 1) {
    const Tokens tokens = tokens_of(prompt);
    REQUIRE(end.prompt_logprobs.size() == tokens.size() - first);
    for (std::size_t i = first; i < tokens.size(); ++i) {
        const TokenLogprobs &score = end.prompt_logprobs[i - first];
        const TokenId likeliest = babble(std::span(tokens).first(i));
        CHECK_EQ(score.token, tokens[i]);
        CHECK_EQ(score.top.size(), 2U);
        CHECK_EQ(score.top[0].first, likeliest);
        CHECK_EQ(score.top[1].first, '?');
        const float below = score.token == likeliest ? 0.0F : score.token == '?' ? 1.0F : 2.0F;
        CHECK(std::abs(score.top[0].second - below - score.logprob) < 1e-5F);
    }
}

} // namespace

TEST("a prompt's log-probabilities come with the end, a few rows at a time") {
    FakeModel model(limits());
    EngineRig rig(model);
    const std::string prompt = "what is the likelihood of each of these? letters";
    const RequestId id = rig.submit(scored(prompt, 4));
    rig.check_complete(id, prompt, 4);
    check_scores(*rig.wait(id).end, prompt);
}

TEST("without a token to generate, the prompt is all that is computed") {
    FakeModel model(limits());
    EngineRig rig(model);
    const std::string prompt = "no more than this";
    const Result &result = rig.wait(rig.submit(scored(prompt, 0)));
    CHECK(result.end->reason == FinishReason::kLength);
    CHECK(result.tokens.empty() && result.text.empty());
    CHECK_EQ(result.end->usage.completion_tokens, 0);
    CHECK_EQ(model.n_computed(), prompt.size());
    check_scores(*result.end, prompt);
}

TEST("what is cached is computed again, and what was scored serves others") {
    FakeModel model(limits());
    EngineRig rig(model);
    const std::string prompt(50, 'p');
    rig.run(prompt, 2);
    const Result &result = rig.wait(rig.submit(scored(prompt, 1)));
    CHECK_EQ(result.end->usage.cached_tokens, 0);
    check_scores(*result.end, prompt);
    CHECK(rig.run(prompt, 2).end->usage.cached_tokens > 40);
}

TEST("what comes before the first token that is scored may be cached") {
    FakeModel model(limits());
    EngineRig rig(model);
    const std::string prompt = std::string(40, 'c') + "and what of this?";
    rig.run(prompt, 2);
    const std::size_t n_before = model.n_computed();
    const Result &result = rig.run(scored(prompt, 0, 40));
    CHECK_EQ(result.end->usage.cached_tokens, 39); // the row before a token gives its probability
    CHECK_EQ(model.n_computed() - n_before, prompt.size() - 39);
    check_scores(*result.end, prompt, 40);
    check_scores(*rig.run(scored(prompt, 3, prompt.size() - 1)).end, prompt, prompt.size() - 1);
}

TEST("what cannot be cut serves no prompt whose scores begin within it") {
    RunnerLimits whole = limits();
    whole.can_trim = false;
    FakeModel model(whole);
    EngineRig rig(model);
    const std::string prompt = std::string(40, 'c') + "and what of this?";
    rig.run(prompt.substr(0, 50), 1);
    const Result &result = rig.run(scored(prompt, 0, 40));
    CHECK_EQ(result.end->usage.cached_tokens, 0);
    check_scores(*result.end, prompt, 40);
    // What that has left is the whole prompt, and goes on where the scores lie behind it.
    const std::string longer = prompt + " And that?";
    const Result &next = rig.run(scored(longer, 0, prompt.size() + 3));
    CHECK_EQ(next.end->usage.cached_tokens, prompt.size());
    check_scores(*next.end, longer, prompt.size() + 3);
}

TEST("rows that are not scored are computed as many at once as in any prompt") {
    FakeModel model(limits());
    EngineRig rig(model);
    const std::string prompt(70, 'r');
    check_scores(*rig.run(scored(prompt, 0, 65)).end, prompt, 65);
    // 64 rows without a score in four calls, and the five with one, and the last, in two.
    CHECK_EQ(rig.metrics().decode_calls.load(), 6U);
}

TEST("continuations of one text wait for it and are scored side by side") {
    FakeModel model(limits());
    EngineRig rig(model);
    const std::string text(60, 't');
    std::vector<std::unique_ptr<Request>> requests;
    std::vector<std::string> prompts;
    for (const char *continuation : {" one", " two?", " three", " four, and more"}) {
        prompts.push_back(text + continuation);
        requests.push_back(scored(prompts.back(), 0, text.size()));
    }
    const std::vector<RequestId> ids = rig.submit(std::move(requests));
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const Result &result = rig.wait(ids[i]);
        check_scores(*result.end, prompts[i], text.size());
        CHECK_EQ(result.end->usage.cached_tokens, i == 0 ? 0 : 59);
    }
    CHECK(model.n_computed() < 2 * text.size());
}

TEST("many at once, with neighbours that only generate") {
    FakeModel model(limits());
    EngineRig rig(model);
    std::vector<std::pair<RequestId, std::string>> all;
    for (int i = 0; i < 12; ++i) {
        const std::string prompt =
            std::string(static_cast<std::size_t>(3 + 4 * i), static_cast<char>('A' + i)) + "?x";
        all.emplace_back(rig.submit(i % 3 == 0 ? make_request(prompt, 7) : scored(prompt, i % 2)), prompt);
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
        const auto &[id, prompt] = all[i];
        const Result &result = rig.wait(id);
        if (i % 3 == 0) {
            CHECK(result.end->prompt_logprobs.empty());
            rig.check_complete(id, prompt, 7);
        } else {
            check_scores(*result.end, prompt);
        }
    }
}

TEST("a prompt that loses its slot on the way is scored once") {
    FakeModel model(
        {.n_slots = 2, .n_ctx = 120, .n_batch = 32, .n_ubatch = 16, .n_outputs = 7, .unified = true});
    model.n_cells = 120;
    model.gate.hold(); // so that neither is done before the other begins
    EngineRig rig(model);
    const RequestId first = rig.submit(std::string(20, 'A'), 90);
    const std::string prompt(30, 'B');
    const RequestId second = rig.submit(scored(prompt, 80));
    model.gate.open();
    rig.check_complete(first, std::string(20, 'A'), 90);
    check_scores(*rig.wait(second).end, prompt);
    CHECK(rig.metrics().preemptions.load() > 0);
}

TEST("a prompt that loses its slot is scored once, from where its scores begin") {
    FakeModel model(
        {.n_slots = 2, .n_ctx = 120, .n_batch = 32, .n_ubatch = 16, .n_outputs = 7, .unified = true});
    model.n_cells = 120;
    model.gate.hold();
    EngineRig rig(model);
    const RequestId first = rig.submit(std::string(20, 'A'), 90);
    const std::string prompt(30, 'B');
    const RequestId second = rig.submit(scored(prompt, 80, 17));
    model.gate.open();
    rig.check_complete(first, std::string(20, 'A'), 90);
    rig.check_complete(second, prompt, 80);
    check_scores(*rig.wait(second).end, prompt, 17);
    CHECK(rig.metrics().preemptions.load() > 0);
}

TEST("a failed decode in the middle of a scored prompt ends with an error, and others go on") {
    FakeModel model(limits());
    EngineRig rig(model);
    std::string poisoned(30, 'q');
    poisoned[20] = static_cast<char>(kPoisonToken);
    const RequestId bad = rig.submit(scored(poisoned, 3));
    const std::string prompt(25, 'g');
    const RequestId good = rig.submit(scored(prompt, 3));
    rig.check_failed(bad, ErrorKind::kGenerationFailed, "could not compute");
    check_scores(*rig.wait(good).end, prompt);
}

TEST("control tokens that a template shows are part of the text") {
    FakeModel model(limits());
    model.next = recite("a#b");
    EngineRig rig(model);
    auto request = make_request("Say>", 10);
    request->shown.emplace('#', "<|tool|>");
    const RequestId id = rig.submit(std::move(request));
    CHECK_EQ(rig.wait(id).text, "a<|tool|>b");
}
