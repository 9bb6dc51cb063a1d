// Many threads at once. To be run with the thread sanitizer as well.
#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "engine_rig.h"

#include "core/engine.h"
#include "core/errors.h"

using namespace llamad;

namespace {

constexpr std::size_t kSubmitters = 4;
constexpr int kCancellers = 2;
constexpr std::size_t kPerSubmitter = 400;

struct Asked {
    std::string prompt;
    std::int32_t max_tokens;
};

// Submitters, cancellers, who also wake the engine for nothing, and one consumer on one engine with a small
// store.
class Crowd {
  public:
    // `close_after`: closes the engine once so many requests have been accepted; 0: when all are done.
    explicit Crowd(FakeModel &model, std::size_t close_after = 0)
        : engine_(model.runner(), {.max_queue = 32},
                  [this, &model](std::function<void()> wake) {
                      wake_ = std::move(wake);
                      return std::make_unique<HostStore>(HostStore::Limits{
                          .max_bytes = 150 * sizeof(KvCell), .can_trim = model.limits.can_trim_states});
                  }),
          close_after_(close_after) {}

    void run() {
        std::thread consumer([this] { consume(); });
        std::vector<std::thread> cancellers;
        for (unsigned seed = 0; seed < kCancellers; ++seed) {
            cancellers.emplace_back([this, seed] { cancel_some(seed); });
        }
        std::vector<std::thread> submitters;
        for (unsigned seed = 0; seed < kSubmitters; ++seed) {
            submitters.emplace_back([this, seed] { submit_all(seed); });
        }
        for (std::thread &thread : submitters) {
            thread.join();
        }
        all_submitted_ = true;
        engine_.events().wake();
        consumer.join();
        for (std::thread &thread : cancellers) {
            thread.join();
        }
        engine_.close();
        CHECK(engine_.events().drain().empty());
    }

    // Each accepted request ended once, and said nothing that is wrong.
    void check() {
        CHECK_EQ(results_.size(), asked_.size());
        for (const auto &[id, asked] : asked_) {
            const Result &result = results_[id];
            REQUIRE(result.end != nullptr);
            ++n_ended_[static_cast<std::size_t>(result.end->reason)];
            const Tokens whole =
                generated(babble, tokens_of(asked.prompt), static_cast<std::size_t>(asked.max_tokens));
            const bool complete = result.end->reason == FinishReason::kLength;
            CHECK(complete
                      ? result.tokens == whole
                      : std::mismatch(result.tokens.begin(), result.tokens.end(), whole.begin(), whole.end())
                                .first == result.tokens.end());
            CHECK_EQ(result.end->error_message.empty(), result.end->reason != FinishReason::kError);
        }
        for (std::size_t reason = 0; reason < n_ended_.size(); ++reason) {
            CHECK_EQ(engine_.metrics().finished[reason].load(), n_ended_[reason]);
        }
        CHECK_EQ(engine_.metrics().running.load(), 0);
        CHECK_EQ(engine_.metrics().waiting.load(), 0);
    }

    std::size_t ended(FinishReason reason) const { return n_ended_[static_cast<std::size_t>(reason)]; }
    std::size_t n_accepted() const { return asked_.size(); }

  private:
    void submit_all(unsigned seed) {
        std::mt19937 random(seed);
        for (std::size_t n_left = kPerSubmitter; n_left > 0;) {
            Asked asked{.prompt = std::string(1 + random() % 40, static_cast<char>('A' + random() % 4)),
                        .max_tokens = static_cast<std::int32_t>(1 + random() % 12)};
            asked.prompt += std::to_string(random() % 100);
            if (random() % 20 == 0) {
                asked.prompt += static_cast<char>(kPoisonToken);
            }
            std::vector<std::unique_ptr<Request>> requests;
            const std::size_t n_copies = std::min<std::size_t>(1 + random() % 3, n_left);
            while (requests.size() < n_copies) {
                requests.push_back(one_of_them(asked, random));
            }
            n_left -= n_copies;
            if (!submit(requests, asked)) {
                return;
            }
        }
    }

    static std::unique_ptr<Request> one_of_them(const Asked &asked, std::mt19937 &random) {
        auto request = make_request(asked.prompt, asked.max_tokens);
        request->stream = random() % 2 == 0;
        request->priority = static_cast<std::int32_t>(random() % 2);
        request->client = std::to_string(random() % 3);
        request->cache_salt = random() % 4 == 0 ? "salt" : "";
        if (random() % 30 == 0) {
            request->timeout_s = 0.0005;
        }
        if (random() % 3 == 0) {
            request->chain = std::make_unique<FakeChain>(random() % 10 == 0 ? 2 : -1);
        }
        return request;
    }

    // Tries again while the queue is full. False: the engine is closed.
    bool submit(std::span<std::unique_ptr<Request>> requests, const Asked &asked) {
        const TimePoint deadline = Clock::now() + kPatience;
        while (Clock::now() < deadline) {
            try {
                const RequestId first = engine_.submit(requests);
                {
                    const std::lock_guard lock(mutex_);
                    for (std::size_t i = 0; i < requests.size(); ++i) {
                        CHECK(asked_.try_emplace(first + i, asked).second);
                    }
                }
                const std::size_t n_before = n_accepted_.fetch_add(requests.size());
                if (n_before < close_after_ && n_before + requests.size() >= close_after_) {
                    engine_.close();
                }
                return true;
            } catch (const QueueFullError &) {
                std::this_thread::yield();
            } catch (const EngineClosedError &) {
                return false;
            }
        }
        CHECK(!"the queue stayed full");
        return false;
    }

    void cancel_some(unsigned seed) {
        std::mt19937 random(1000 + seed);
        std::size_t seen = 0;
        while (!all_ended_) {
            const std::size_t n_accepted = n_accepted_;
            if (n_accepted == seen) {
                std::this_thread::yield();
                continue;
            }
            seen = n_accepted;
            engine_.cancel(n_accepted + random() % 3); // near the newest: waiting, running, or not there yet
            wake_();
        }
    }

    void consume() {
        const TimePoint deadline = Clock::now() + kPatience;
        std::size_t n_ends = 0;
        while (!(all_submitted_ && n_ends == n_accepted_) && Clock::now() < deadline) {
            engine_.events().wait(std::chrono::milliseconds(1000));
            for (Event &event : engine_.events().drain()) {
                Result &result = results_[event.id];
                CHECK(!result.end);
                result.tokens.insert(result.tokens.end(), event.tokens.begin(), event.tokens.end());
                if (event.end) {
                    result.end = std::move(event.end);
                    ++n_ends;
                }
            }
        }
        CHECK_EQ(n_ends, n_accepted_.load());
        all_ended_ = true;
    }

    std::function<void()> wake_;
    Engine engine_;
    const std::size_t close_after_;
    std::mutex mutex_;
    std::map<RequestId, Asked> asked_;
    std::map<RequestId, Result> results_; // the consumer's until it has ended
    std::array<std::size_t, 4> n_ended_{};
    std::atomic<std::size_t> n_accepted_{0};
    std::atomic<bool> all_submitted_{false};
    std::atomic<bool> all_ended_{false};
};

} // namespace

TEST("every accepted request ends exactly once, with the right tokens") {
    FakeModel model;
    Crowd crowd(model);
    crowd.run();
    crowd.check();
    CHECK_EQ(crowd.n_accepted(), kSubmitters * kPerSubmitter);
    CHECK(crowd.ended(FinishReason::kLength) > 0 && crowd.ended(FinishReason::kError) > 0);
}

TEST("the same with a cache that is too small and cannot always be trimmed") {
    for (const Memory memory : {Memory::kRecurrent, Memory::kSlidingWindow}) {
        FakeModel model;
        model.limits = with_memory(memory, model.limits);
        model.n_cells = 60;
        Crowd crowd(model);
        crowd.run();
        crowd.check();
        CHECK_EQ(crowd.n_accepted(), kSubmitters * kPerSubmitter);
    }
}

TEST("the same with one pool of cells for all slots") {
    FakeModel model;
    model.limits.unified = true;
    model.n_cells = 64;
    Crowd crowd(model);
    crowd.run();
    crowd.check();
    CHECK_EQ(crowd.n_accepted(), kSubmitters * kPerSubmitter);
}

TEST("the same with a device that computes on its own, and batches that are padded") {
    for (const std::size_t close_after : {std::size_t{0}, kSubmitters * kPerSubmitter / 2}) {
        FakeModel model;
        model.limits.n_ctx = 256; // room for padding
        model.limits.decodes_async = true;
        model.limits.pads_decodes = true;
        Crowd crowd(model, close_after);
        crowd.run();
        crowd.check();
        CHECK_EQ(crowd.n_accepted() == kSubmitters * kPerSubmitter, close_after == 0);
    }
}

TEST("the same with an engine that is closed in the middle") {
    FakeModel model;
    Crowd crowd(model, /*close_after=*/kSubmitters * kPerSubmitter / 2);
    crowd.run();
    crowd.check();
    CHECK(crowd.n_accepted() < kSubmitters * kPerSubmitter);
}
