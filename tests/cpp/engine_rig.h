// An engine on a fake model, and what its requests have delivered.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fake_runner.h"

#include "core/engine.h"

namespace llamad {

inline std::unique_ptr<Request> make_request(std::string_view prompt, std::int32_t max_tokens) {
    auto request = std::make_unique<Request>();
    request->prompt = tokens_of(prompt);
    request->max_tokens = max_tokens;
    return request;
}

// Everything that one request has delivered, joined.
struct Result {
    std::string text;
    Tokens tokens;
    int n_events = 0;
    std::unique_ptr<End> end;
};

// Belongs to the thread of the test. Its end checks that each accepted request ended exactly once.
class EngineRig {
  public:
    explicit EngineRig(FakeModel &model, EngineLimits limits = {.max_queue = 64})
        : model_(model), engine_(model.runner(), limits) {}
    EngineRig(const EngineRig &) = delete;
    EngineRig &operator=(const EngineRig &) = delete;
    ~EngineRig() {
        engine_.close();
        collect();
        for (const auto &[id, result] : results_) {
            CHECK(result.end != nullptr);
        }
        CHECK(model_.runner_freed.load());
        CHECK_EQ(engine_.metrics().running.load(), 0);
        CHECK_EQ(engine_.metrics().waiting.load(), 0);
    }

    Engine &engine() { return engine_; }

    RequestId submit(std::unique_ptr<Request> request) {
        const RequestId id = engine_.submit(request);
        CHECK(request == nullptr);
        CHECK(results_.try_emplace(id).second);
        return id;
    }
    RequestId submit(std::string_view prompt, std::int32_t max_tokens) {
        return submit(make_request(prompt, max_tokens));
    }

    // Waits for the request's end.
    const Result &wait(RequestId id) {
        const TimePoint deadline = Clock::now() + kPatience;
        while (!results_[id].end && Clock::now() < deadline) {
            engine_.events().wait(std::chrono::milliseconds(1000));
            collect();
        }
        REQUIRE(results_[id].end != nullptr);
        return results_[id];
    }

    const Result &run(std::unique_ptr<Request> request) { return wait(submit(std::move(request))); }
    const Result &run(std::string_view prompt, std::int32_t max_tokens) {
        return wait(submit(prompt, max_tokens));
    }

    // The request ended well, with what a correct engine generates.
    void check_complete(RequestId id, std::string_view prompt, std::size_t max_tokens) {
        const Result &result = wait(id);
        CHECK_EQ(result.tokens, generated(model_.next, tokens_of(prompt), max_tokens));
        CHECK(result.end->reason == FinishReason::kLength || result.end->reason == FinishReason::kStop);
        CHECK_EQ(result.end->error_message, "");
    }

    // The request ended with this error.
    void check_failed(RequestId id, ErrorKind error, std::string_view message_part) {
        const Result &result = wait(id);
        CHECK_EQ(result.end->reason, FinishReason::kError);
        CHECK_EQ(result.end->error, error);
        CHECK(result.end->error_message.find(message_part) != std::string::npos);
    }

    // Takes what there is, without waiting.
    void collect() {
        for (Event &event : engine_.events().drain()) {
            const auto found = results_.find(event.id);
            REQUIRE(found != results_.end());
            Result &result = found->second;
            CHECK(!result.end); // nothing comes after the end
            result.text += event.text;
            result.tokens.insert(result.tokens.end(), event.tokens.begin(), event.tokens.end());
            ++result.n_events;
            if (event.end) {
                CHECK_EQ(event.end->usage.completion_tokens, result.tokens.size());
                result.end = std::move(event.end);
            }
        }
    }

    const Result &so_far(RequestId id) {
        collect();
        return results_[id];
    }

  private:
    FakeModel &model_;
    Engine engine_;
    std::map<RequestId, Result> results_;
};

} // namespace llamad
