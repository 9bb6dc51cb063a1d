// An embedding engine on a fake model, and what its jobs have delivered.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "fake_embedding_runner.h"

#include "core/errors.h"
#include "embed/embed_engine.h"

namespace llamad {

using Inputs = std::vector<std::vector<TokenId>>;

inline std::unique_ptr<EmbedJob> make_job(Inputs inputs) {
    auto job = std::make_unique<EmbedJob>();
    job->inputs = std::move(inputs);
    return job;
}

// `n` tokens from `first` on.
inline std::vector<TokenId> run_of(TokenId first, std::size_t n) {
    std::vector<TokenId> tokens(n);
    std::iota(tokens.begin(), tokens.end(), first);
    return tokens;
}

// Belongs to the thread of the test. Its end checks that each accepted job ended exactly once.
class EmbedRig {
  public:
    explicit EmbedRig(FakeEmbeddingModel &model, EmbedEngineLimits limits = {.max_queue = 64})
        : model_(model), engine_(model.runner(), limits) {}
    EmbedRig(const EmbedRig &) = delete;
    EmbedRig &operator=(const EmbedRig &) = delete;
    ~EmbedRig() {
        engine_.close();
        collect();
        for (const auto &[id, inputs] : submitted_) {
            CHECK(ends_.contains(id));
        }
        CHECK(model_.runner_freed.load());
        CHECK_EQ(engine_.metrics().running.load(), 0);
        CHECK_EQ(engine_.metrics().waiting.load(), 0);
    }

    EmbedEngine &engine() { return engine_; }

    RequestId submit(const Inputs &inputs) {
        std::unique_ptr<EmbedJob> job = make_job(inputs);
        const RequestId id = engine_.submit(job);
        CHECK(job == nullptr);
        submitted_.emplace(id, inputs);
        return id;
    }

    // Waits for the job's end.
    const EmbedEnd &wait(RequestId id) {
        const TimePoint deadline = Clock::now() + kPatience;
        while (!ends_.contains(id) && Clock::now() < deadline) {
            engine_.events().wait(std::chrono::milliseconds(1000));
            collect();
        }
        REQUIRE(ends_.contains(id));
        return ends_.at(id);
    }

    // The job ended well, with the values of its inputs. For models whose scores are not normalized.
    void check_complete(RequestId id) {
        const EmbedEnd &end = wait(id);
        CHECK_EQ(end.reason, FinishReason::kStop);
        CHECK_EQ(end.error_message, "");
        std::vector<float> expected;
        for (const std::vector<TokenId> &input : submitted_.at(id)) {
            const auto n_last = model_.limits.can_chunk
                                    ? (input.size() - 1) % static_cast<std::size_t>(model_.limits.n_batch) + 1
                                    : input.size();
            const std::vector<float> values = pooled_of(std::span(input).last(n_last));
            expected.insert(expected.end(), values.begin(), values.end());
        }
        CHECK_EQ(end.values, expected);
    }

    void check_failed(RequestId id, ErrorKind error, std::string_view message_part) {
        const EmbedEnd &end = wait(id);
        CHECK_EQ(end.reason, FinishReason::kError);
        CHECK_EQ(end.error, error);
        CHECK(end.error_message.find(message_part) != std::string::npos);
        CHECK(end.values.empty());
    }

    // Takes what there is, without waiting.
    void collect() {
        for (EmbedEnd &end : engine_.events().take_all()) {
            CHECK(submitted_.contains(end.id));
            const RequestId id = end.id;
            CHECK(ends_.try_emplace(id, std::move(end)).second); // nothing comes after the end
        }
    }

    // Whether the job has not ended, as far as is known without waiting.
    bool is_open(RequestId id) {
        collect();
        return !ends_.contains(id);
    }

  private:
    FakeEmbeddingModel &model_;
    EmbedEngine engine_;
    std::map<RequestId, Inputs> submitted_;
    std::map<RequestId, EmbedEnd> ends_;
};

} // namespace llamad
