// A model without weights, for tests of the embedding engine.
//
// The embedding of a sequence is [mean, first, last] of its tokens, whatever the pooling: what an engine that
// mixes up inputs, or puts parts together wrongly, delivers is another vector. Each call also checks what the
// engine owes a runner: batches within their limits, and parts that continue each other.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <span>
#include <vector>

#include "check.h"
#include "gate.h"
#include "tokens.h"

#include "embed/embedding_runner.h"

namespace llamad {

inline constexpr TokenId kPoison = -1;     // no batch that holds it can be computed
inline constexpr TokenId kNotANumber = -2; // what holds it comes out as NaN

// One piece of a batch, as the runner has seen it.
struct SeenPiece {
    RequestId job;
    std::size_t input;
    Pos begin;
    std::size_t n_tokens;

    bool operator==(const SeenPiece &) const = default;
};
using SeenBatch = std::vector<SeenPiece>;

// What the test sees of the model; outlives the runner. The settings are read by the engine thread: set them
// before it starts.
class FakeEmbeddingModel {
  public:
    EmbeddingLimits limits{
        .n_ctx = 64, .n_batch = 16, .n_seqs = 4, .n_out = 3, .can_chunk = true, .pooling = Pooling::kRank};
    Gate gate;
    std::atomic<bool> runner_freed{false};
    std::atomic<int> rests{0};

    std::vector<SeenBatch> batches() const {
        const std::lock_guard lock(mutex_);
        return batches_;
    }

    std::unique_ptr<EmbeddingRunner> runner();

  private:
    friend class FakeEmbeddingRunner;

    mutable std::mutex mutex_;
    std::vector<SeenBatch> batches_;
};

inline std::vector<float> pooled_of(std::span<const TokenId> tokens) {
    const double sum = std::accumulate(tokens.begin(), tokens.end(), 0.0);
    return {static_cast<float>(sum / static_cast<double>(tokens.size())), static_cast<float>(tokens.front()),
            static_cast<float>(tokens.back())};
}

class FakeEmbeddingRunner : public EmbeddingRunner {
  public:
    explicit FakeEmbeddingRunner(FakeEmbeddingModel &model) : model_(model) {}
    FakeEmbeddingRunner(const FakeEmbeddingRunner &) = delete;
    FakeEmbeddingRunner &operator=(const FakeEmbeddingRunner &) = delete;
    ~FakeEmbeddingRunner() override { model_.runner_freed = true; }

    EmbeddingLimits limits() const override { return model_.limits; }

    EncodeStatus encode(std::span<const Piece> pieces) override {
        check_batch(pieces);
        const bool passed = model_.gate.enter(aborted_);
        SeenBatch seen;
        bool poisoned = false;
        values_.clear();
        for (const Piece &piece : pieces) {
            seen.push_back({piece.job, piece.input, piece.begin, piece.tokens.size()});
            values_.push_back(pooled_of(piece.tokens));
            for (const TokenId token : piece.tokens) {
                poisoned |= token == kPoison;
                if (token == kNotANumber) {
                    values_.back()[0] = std::numeric_limits<float>::quiet_NaN();
                }
            }
        }
        {
            const std::lock_guard lock(model_.mutex_);
            model_.batches_.push_back(seen);
        }
        if (!passed || poisoned) {
            return passed ? EncodeStatus::kFailed : EncodeStatus::kAborted;
        }
        if (!pieces.front().whole) {
            n_in_parts_ = static_cast<std::size_t>(pieces.front().begin) + pieces.front().tokens.size();
        }
        return EncodeStatus::kOk;
    }

    std::span<const float> pooled(std::size_t piece) override { return values_.at(piece); }

    void rest() override { ++model_.rests; }

    void request_abort() override {
        aborted_ = true;
        model_.gate.notify();
    }

  private:
    void check_batch(std::span<const Piece> pieces) const {
        const EmbeddingLimits &limits = model_.limits;
        REQUIRE(!pieces.empty());
        CHECK(pieces.size() <= static_cast<std::size_t>(limits.n_seqs));
        std::size_t n_tokens = 0;
        for (const Piece &piece : pieces) {
            n_tokens += piece.tokens.size();
            CHECK(!piece.tokens.empty());
            CHECK(piece.whole ? piece.begin == 0 : pieces.size() == 1 && limits.can_chunk);
        }
        const std::int32_t most = pieces.size() == 1 && !limits.can_chunk ? limits.n_ctx : limits.n_batch;
        CHECK(n_tokens <= static_cast<std::size_t>(most));
        const Piece &first = pieces.front();
        CHECK(first.whole || first.begin == 0 || static_cast<std::size_t>(first.begin) == n_in_parts_);
    }

    FakeEmbeddingModel &model_;
    std::vector<std::vector<float>> values_;
    std::size_t n_in_parts_ = 0; // tokens of the long input so far
    std::atomic<bool> aborted_{false};
};

inline std::unique_ptr<EmbeddingRunner> FakeEmbeddingModel::runner() {
    return std::make_unique<FakeEmbeddingRunner>(*this);
}

} // namespace llamad
