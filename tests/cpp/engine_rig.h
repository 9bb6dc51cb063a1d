// An engine on a fake model, and what its requests have delivered.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fake_runner.h"

#include "core/engine.h"
#include "core/errors.h"

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
    std::vector<TokenLogprobs> logprobs;
    int n_events = 0;
    std::unique_ptr<End> end;
};

// Belongs to the thread of the test. Its end checks that each accepted request ended exactly once.
class EngineRig {
  public:
    // `store_bytes`: of the host store; 0: none.
    explicit EngineRig(FakeModel &model, EngineLimits limits = {.max_queue = 64}, std::size_t store_bytes = 0)
        : EngineRig(model, limits, [&model, store_bytes](const std::function<void()> &) {
              return std::make_unique<HostStore>(
                  HostStore::Limits{.max_bytes = store_bytes, .can_trim = model.limits.can_trim_states});
          }) {}
    EngineRig(FakeModel &model, EngineLimits limits, const MakeStore &make_store)
        : model_(model), engine_(model.runner(), limits, make_store) {}
    EngineRig(const EngineRig &) = delete;
    EngineRig &operator=(const EngineRig &) = delete;
    ~EngineRig() {
        CHECK_EQ(is_open(), !closed_.load()); // it closes by itself where the books turn out to be wrong
        close();
        collect();
        for (const auto &[id, result] : results_) {
            CHECK(result.end != nullptr);
        }
        CHECK(model_.runner_freed.load());
        CHECK_EQ(engine_.metrics().running.load(), 0);
        CHECK_EQ(engine_.metrics().waiting.load(), 0);
    }

    Engine &engine() { return engine_; }
    const Metrics &metrics() const { return engine_.metrics(); }

    void close() {
        closed_ = true;
        engine_.close();
    }

    RequestId submit(std::unique_ptr<Request> request) {
        const RequestId id = engine_.submit(std::span(&request, 1));
        CHECK(request == nullptr);
        CHECK(results_.try_emplace(id).second);
        return id;
    }
    RequestId submit(std::string_view prompt, std::int32_t max_tokens) {
        return submit(make_request(prompt, max_tokens));
    }
    // All at once.
    std::vector<RequestId> submit(std::vector<std::unique_ptr<Request>> requests) {
        const RequestId first = engine_.submit(requests);
        std::vector<RequestId> ids;
        for (std::size_t i = 0; i < requests.size(); ++i) {
            ids.push_back(first + i);
            CHECK(requests[i] == nullptr && results_.try_emplace(ids.back()).second);
        }
        return ids;
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
            std::ranges::move(event.logprobs, std::back_inserter(result.logprobs));
            ++result.n_events;
            if (event.end) {
                CHECK_EQ(event.end->usage.completion_tokens, result.tokens.size());
                result.end = std::move(event.end);
                ended_.push_back(event.id);
            }
        }
    }

    const Result &so_far(RequestId id) {
        collect();
        return results_[id];
    }

    // Who has ended, in order as long as no request is streamed.
    const std::vector<RequestId> &ended() const { return ended_; }

  private:
    bool is_open() {
        try {
            engine_.submit({});
            return true;
        } catch (const EngineClosedError &) {
            return false;
        }
    }

    FakeModel &model_;
    Engine engine_;
    std::map<RequestId, Result> results_;
    std::vector<RequestId> ended_;
    std::atomic<bool> closed_{false}; // several threads may close it
};

} // namespace llamad
