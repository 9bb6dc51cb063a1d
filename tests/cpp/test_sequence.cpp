#include <memory>
#include <optional>
#include <string>

#include "check.h"
#include "engine_rig.h"

#include "core/sequence.h"

using namespace llamad;

namespace {

constexpr std::int32_t kContext = 16;

// Feeds tokens to a sequence and keeps what it delivers.
struct Feed {
    explicit Feed(std::unique_ptr<Request> request)
        : sequence(std::move(request), kContext, std::make_shared<Account>()) {}

    std::optional<FinishReason> append(TokenId token) {
        const auto reason = sequence.append(token, std::nullopt, *runner);
        if (std::optional<Event> delta = sequence.take_delta()) {
            CHECK(!delta->end && !delta->text.empty());
            CHECK_EQ(delta->id, sequence.id());
            deltas.push_back(std::move(*delta));
        }
        return reason;
    }
    // Appends each byte; no token but the last may end the sequence.
    std::optional<FinishReason> append(std::string_view text) {
        std::optional<FinishReason> reason;
        for (const TokenId token : tokens_of(text)) {
            CHECK(!reason);
            reason = append(token);
        }
        return reason;
    }
    std::string texts() const {
        std::string joined;
        for (const Event &delta : deltas) {
            joined += delta.text + '|';
        }
        return joined;
    }
    Tokens tokens() const {
        Tokens all;
        for (const Event &delta : deltas) {
            all.insert(all.end(), delta.tokens.begin(), delta.tokens.end());
        }
        return all;
    }

    FakeModel model;
    std::unique_ptr<ModelRunner> runner = model.runner();
    Sequence sequence;
    std::vector<Event> deltas;
};

std::unique_ptr<Request> streamed(std::string_view prompt, std::int32_t max_tokens) {
    auto request = make_request(prompt, max_tokens);
    request->id = 5;
    request->stream = true;
    return request;
}

} // namespace

TEST("a streamed sequence delivers each token's text") {
    Feed feed(streamed("ab", 9));
    CHECK(!feed.append("xyz"));
    CHECK_EQ(feed.texts(), "x|y|z|");
    CHECK_EQ(feed.tokens(), tokens_of("xyz"));
    CHECK_EQ(feed.sequence.n_prompt(), 2);
    CHECK_EQ(feed.sequence.n_generated(), 3);
    CHECK_EQ(feed.sequence.tokens(), tokens_of("abxyz"));
    const Event last = feed.sequence.finish(FinishReason::kCancelled, ErrorKind::kNone, {});
    CHECK_EQ(last.id, 5);
    CHECK(last.text.empty() && last.tokens.empty());
    CHECK_EQ(last.end->reason, FinishReason::kCancelled);
}

TEST("a sequence that is not streamed delivers everything with its end") {
    auto request = streamed("ab", 9);
    request->stream = false;
    Feed feed(std::move(request));
    feed.sequence.start(/*n_cached=*/1);
    CHECK(!feed.append("xyz"));
    CHECK(feed.deltas.empty());
    const Event last = feed.sequence.finish(FinishReason::kStop, ErrorKind::kNone, {});
    CHECK_EQ(last.text, "xyz");
    CHECK_EQ(last.tokens, tokens_of("xyz"));
    CHECK_EQ(last.end->usage.prompt_tokens, 2);
    CHECK_EQ(last.end->usage.completion_tokens, 3);
    CHECK_EQ(last.end->usage.cached_tokens, 1);
    CHECK_EQ(last.end->error_message, "");
}

TEST("tokens whose text is held back come with the next text") {
    Feed feed(streamed("ab", 14));
    CHECK(!feed.append("\u20ac!"));
    CHECK_EQ(feed.texts(), "\u20ac|!|");
    CHECK_EQ(feed.deltas[0].tokens.size(), 3);
    CHECK(!feed.append("\xF0\x9F"));
    CHECK_EQ(feed.deltas.size(), 2);
    const Event last = feed.sequence.finish(FinishReason::kLength, ErrorKind::kNone, {});
    CHECK_EQ(last.text, "\uFFFD"); // the character never became whole
    CHECK_EQ(last.tokens.size(), 2);
    CHECK_EQ(last.end->usage.completion_tokens, 6);
}

TEST("an end-of-generation token ends without text but counts") {
    Feed feed(streamed("ab", 9));
    CHECK(!feed.append("x"));
    CHECK_EQ(feed.append(kEndToken), std::optional(FinishReason::kStop));
    const Event last = feed.sequence.finish(FinishReason::kStop, ErrorKind::kNone, {});
    CHECK_EQ(last.text, "");
    CHECK_EQ(last.tokens, Tokens{kEndToken});
    CHECK_EQ(last.end->stop_string, "");
    CHECK_EQ(last.end->usage.completion_tokens, 2);
}

TEST("a stop string ends the sequence, is named, and is no part of the text") {
    auto request = streamed("ab", 14);
    request->stop = {"never", "END"};
    Feed feed(std::move(request));
    CHECK_EQ(feed.append("x EEND"), std::optional(FinishReason::kStop));
    const Event last = feed.sequence.finish(FinishReason::kStop, ErrorKind::kNone, {});
    CHECK_EQ(feed.texts() + last.text, "x| |E|");
    CHECK_EQ(last.end->stop_string, "END");
    CHECK_EQ(feed.tokens().size() + last.tokens.size(), 6);
}

TEST("a beginning of a stop string is delivered if the sequence ends otherwise") {
    auto request = streamed("ab", 5);
    request->stop = {"END"};
    Feed feed(std::move(request));
    CHECK_EQ(feed.append("xyzEN"), std::optional(FinishReason::kLength));
    const Event last = feed.sequence.finish(FinishReason::kLength, ErrorKind::kNone, {});
    CHECK_EQ(feed.texts() + last.text, "x|y|z|EN");
    CHECK_EQ(last.end->stop_string, "");
}

TEST("held-back text comes before an incomplete character") {
    auto request = streamed("ab", 9);
    request->stop = {"END"};
    Feed feed(std::move(request));
    CHECK(!feed.append("E\xC3"));
    CHECK_EQ(feed.sequence.finish(FinishReason::kLength, ErrorKind::kNone, {}).text, "E\uFFFD");
}

TEST("max_tokens counts generated tokens") {
    Feed one(streamed("ab", 1));
    CHECK_EQ(one.append('x'), std::optional(FinishReason::kLength));
    Feed three(streamed("ab", 3));
    CHECK_EQ(three.append("xyz"), std::optional(FinishReason::kLength));
}

TEST("at the limit a stop is a stop") {
    Feed end(streamed("ab", 1));
    CHECK_EQ(end.append(kEndToken), std::optional(FinishReason::kStop));
    auto request = streamed("ab", 2);
    request->stop = {"xy"};
    Feed stop(std::move(request));
    CHECK_EQ(stop.append("xy"), std::optional(FinishReason::kStop));
}

TEST("prompt and completion together fill the context and no more") {
    for (const std::int32_t max_tokens : {kContext, 1 << 30, std::numeric_limits<std::int32_t>::max()}) {
        Feed feed(streamed("prompt of ten", max_tokens));
        CHECK_EQ(feed.append("xyz"), std::optional(FinishReason::kLength));
        CHECK_EQ(feed.sequence.tokens().size(), kContext);
    }
}

TEST("an error carries its kind and message, and times do not run backwards") {
    auto request = streamed("ab", 9);
    request->submitted_at = Clock::now();
    Feed feed(std::move(request));
    feed.sequence.start(0);
    CHECK(!feed.append("x"));
    const Event last = feed.sequence.finish(FinishReason::kError, ErrorKind::kGenerationFailed, "why");
    CHECK_EQ(last.end->error, ErrorKind::kGenerationFailed);
    CHECK_EQ(last.end->error_message, "why");
    CHECK(last.end->timings.queue_s >= 0 && last.end->timings.prefill_s >= 0 &&
          last.end->timings.decode_s >= 0);
}

TEST("a request that never got a slot ends with its prompt's size and its wait") {
    auto request = streamed("abc", 9);
    request->submitted_at = Clock::now();
    Feed feed(std::move(request));
    CHECK(!feed.sequence.started());
    const Event last = feed.sequence.finish(FinishReason::kError, ErrorKind::kEngineClosed, "closed");
    CHECK_EQ(last.id, 5);
    CHECK(last.text.empty() && last.tokens.empty());
    CHECK_EQ(last.end->reason, FinishReason::kError);
    CHECK_EQ(last.end->error, ErrorKind::kEngineClosed);
    CHECK_EQ(last.end->error_message, "closed");
    CHECK_EQ(last.end->usage.prompt_tokens, 3);
    CHECK_EQ(last.end->usage.completion_tokens, 0);
    CHECK(last.end->timings.queue_s >= 0);
    CHECK_EQ(last.end->timings.prefill_s + last.end->timings.decode_s, 0.0);
}

TEST("what a sequence finds when it starts again is no part of its usage") {
    Feed feed(streamed("abcd", 9));
    feed.sequence.start(2);
    CHECK(feed.sequence.started());
    CHECK(!feed.append("xyz"));
    feed.sequence.start(6); // after a preemption
    const Event last = feed.sequence.finish(FinishReason::kLength, ErrorKind::kNone, {});
    CHECK_EQ(last.end->usage.cached_tokens, 2);
    CHECK_EQ(last.end->usage.prompt_tokens, 4);
    CHECK_EQ(last.end->usage.completion_tokens, 3);
}

TEST("tokens that are computed are charged to the client") {
    const auto account = std::make_shared<Account>();
    Sequence one(streamed("ab", 9), kContext, account);
    Sequence other(streamed("cd", 9), kContext, account);
    one.charge(5);
    other.charge(2);
    CHECK_EQ(one.served(), 7.0);
    CHECK_EQ(other.served(), 7.0);
}

TEST("logprobs come with their tokens, also with those that have no text yet") {
    Feed feed(streamed("ab", 9));
    const auto append = [&](TokenId token) {
        feed.sequence.append(token, TokenLogprobs{.token = token, .logprob = -0.5F, .top = {}}, *feed.runner);
        return feed.sequence.take_delta();
    };
    const Tokens euro = tokens_of("\u20ac");
    CHECK(!append(euro[0]));
    CHECK(!append(euro[1]));
    const std::optional<Event> whole = append(euro[2]);
    REQUIRE(whole.has_value() && whole->logprobs.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK_EQ(whole->logprobs[i].token, euro[i]);
    }
    append(kEndToken);
    const Event last = feed.sequence.finish(FinishReason::kStop, ErrorKind::kNone, {});
    REQUIRE(last.logprobs.size() == 1);
    CHECK_EQ(last.logprobs[0].token, kEndToken);
}
