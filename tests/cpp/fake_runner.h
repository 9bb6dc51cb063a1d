// A model without weights, for tests of the engine.
//
// A token is a byte, and the token that comes next is a function of every token in the KV stream: a
// stream that holds a wrong token, or a right one in the wrong place, shows in what is generated. Each
// decode() also checks what the engine owes a runner: batches within n_batch, slots rising, positions
// that continue the stream, and a rollback after every failure.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.h"
#include "gate.h"

#include "core/model_runner.h"

namespace llamad {

using Tokens = std::vector<TokenId>;

inline constexpr TokenId kEndToken = 0;    // ends a generation; has no bytes
inline constexpr TokenId kPoisonToken = 1; // no batch that holds it can be computed
inline constexpr std::size_t kVocabulary = 256;

inline Tokens tokens_of(std::string_view text) {
    Tokens tokens;
    for (const char byte : text) {
        tokens.push_back(static_cast<unsigned char>(byte));
    }
    return tokens;
}

// The token that follows the tokens in a stream.
using NextToken = std::function<TokenId(std::span<const TokenId>)>;

// Some lower-case letter that depends on every token before it and on their order.
inline TokenId babble(std::span<const TokenId> tokens) {
    std::uint32_t hash = 2166136261U;
    for (const TokenId token : tokens) {
        hash = (hash ^ static_cast<std::uint32_t>(token)) * 16777619U;
    }
    return static_cast<TokenId>('a' + (hash >> 8U) % 26);
}

// Says `text` after the last '>' of the stream, then ends.
inline NextToken recite(std::string_view text) {
    return [script = tokens_of(text)](std::span<const TokenId> tokens) {
        const auto said =
            static_cast<std::size_t>(std::find(tokens.rbegin(), tokens.rend(), '>') - tokens.rbegin());
        return said < script.size() ? script[said] : kEndToken;
    };
}

// What a correct engine generates from `prompt`.
inline Tokens generated(const NextToken &next, Tokens tokens, std::size_t max_tokens) {
    const std::size_t n_prompt = tokens.size();
    while (tokens.size() - n_prompt < max_tokens) {
        tokens.push_back(next(tokens));
        if (tokens.back() == kEndToken) {
            break;
        }
    }
    return {tokens.begin() + static_cast<std::ptrdiff_t>(n_prompt), tokens.end()};
}

struct DecodeCall {
    Batch rows;
    DecodeStatus status;
};

struct TrimCall {
    SlotId slot;
    Pos from;

    bool operator==(const TrimCall &) const = default;
};

// What the test sees of the model; outlives the runner. The settings are read by the engine thread: set
// them before it starts.
class FakeModel {
  public:
    RunnerLimits limits{.n_slots = 4, .n_ctx = 64, .n_batch = 32, .n_ubatch = 16};
    NextToken next = babble;
    std::size_t n_cells = std::numeric_limits<std::size_t>::max(); // KV cells of all slots together
    bool can_trim_partly = true;
    bool logits_are_nan = false;
    std::deque<DecodeStatus> outcomes; // of the first decodes, in place of their own; kOk changes nothing

    Gate gate;
    std::atomic<bool> runner_freed{false};

    std::vector<DecodeCall> decodes() const {
        const std::lock_guard lock(mutex_);
        return decodes_;
    }

    std::vector<TrimCall> trims() const {
        const std::lock_guard lock(mutex_);
        return trims_;
    }

    // Rows computed so far.
    std::size_t n_computed() const {
        std::size_t n = 0;
        for (const DecodeCall &call : decodes()) {
            n += call.status == DecodeStatus::kOk ? call.rows.size() : 0;
        }
        return n;
    }

    std::unique_ptr<ModelRunner> runner();

  private:
    friend class FakeRunner;

    mutable std::mutex mutex_;
    std::vector<DecodeCall> decodes_;
    std::vector<TrimCall> trims_;
};

// Takes the same token as greedy sampling would, and throws in place of the `throw_at`-th.
struct FakeChain : SamplerChain {
    explicit FakeChain(int when = -1) : throw_at(when) {}
    int throw_at;
    int n_taken = 0;
};

class FakeRunner : public ModelRunner {
  public:
    explicit FakeRunner(FakeModel &model)
        : model_(model), streams_(static_cast<std::size_t>(model.limits.n_slots)),
          torn_(streams_.size(), false) {
        std::iota(bytes_.begin(), bytes_.end(), '\0');
    }
    FakeRunner(const FakeRunner &) = delete;
    FakeRunner &operator=(const FakeRunner &) = delete;
    ~FakeRunner() override { model_.runner_freed = true; }

    RunnerLimits limits() const override { return model_.limits; }

    DecodeStatus decode(std::span<const Row> rows) override {
        check_batch(rows);
        const DecodeStatus status = model_.gate.enter(aborted_) ? compute(rows) : DecodeStatus::kAborted;
        const std::lock_guard lock(model_.mutex_);
        model_.decodes_.push_back({.rows = {rows.begin(), rows.end()}, .status = status});
        return status;
    }

    std::span<const float> logits(std::size_t row) override {
        logits_.fill(model_.logits_are_nan ? std::numeric_limits<float>::quiet_NaN() : 0.0F);
        if (!model_.logits_are_nan) {
            logits_.at(static_cast<std::size_t>(next_at(row))) = 2.0F;
            logits_.at('?') = 1.0F; // the second choice
        }
        return logits_;
    }

    TokenId sample(SamplerChain &chain, std::size_t row) override {
        auto &fake = dynamic_cast<FakeChain &>(chain);
        if (fake.n_taken++ == fake.throw_at) {
            throw std::runtime_error("dead end");
        }
        return next_at(row);
    }

    bool trim(SlotId slot, Pos from) override {
        Tokens &stream = stream_of(slot);
        const auto n_kept = static_cast<std::size_t>(from);
        CHECK(n_kept <= stream.size());
        {
            const std::lock_guard lock(model_.mutex_);
            model_.trims_.push_back({slot, from});
        }
        if (!model_.can_trim_partly && n_kept > 0 && n_kept < stream.size()) {
            return false;
        }
        stream.resize(n_kept);
        torn_[static_cast<std::size_t>(slot)] = false;
        return true;
    }

    std::string_view token_bytes(TokenId token) const override {
        return std::string_view(bytes_.data(), bytes_.size())
            .substr(static_cast<std::size_t>(token), token == 0 ? 0 : 1);
    }

    bool is_end_of_generation(TokenId token) const override { return token == kEndToken; }

    void request_abort() override {
        aborted_ = true;
        model_.gate.notify();
    }

  private:
    Tokens &stream_of(SlotId slot) { return streams_.at(static_cast<std::size_t>(slot)); }

    void check_batch(std::span<const Row> rows) {
        CHECK(!rows.empty() && std::cmp_less_equal(rows.size(), model_.limits.n_batch));
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const bool continues = i > 0 && rows[i - 1].slot == rows[i].slot;
            CHECK(i == 0 || rows[i - 1].slot <= rows[i].slot);
            CHECK_EQ(rows[i].pos,
                     continues ? rows[i - 1].pos + 1 : static_cast<Pos>(stream_of(rows[i].slot).size()));
            CHECK(!torn_[static_cast<std::size_t>(rows[i].slot)]);
            CHECK(rows[i].pos < model_.limits.n_ctx);
        }
    }

    DecodeStatus compute(std::span<const Row> rows) {
        DecodeStatus forced = DecodeStatus::kOk;
        if (!model_.outcomes.empty()) {
            forced = model_.outcomes.front();
            model_.outcomes.pop_front();
        }
        std::size_t n_used = rows.size();
        for (const Tokens &stream : streams_) {
            n_used += stream.size();
        }
        if (n_used > model_.n_cells || forced == DecodeStatus::kNoRoom) {
            return DecodeStatus::kNoRoom;
        }
        const bool fails = forced == DecodeStatus::kFailed || std::ranges::any_of(rows, [](const Row &row) {
                               return row.token == kPoisonToken;
                           });
        next_.assign(rows.size(), -1);
        for (std::size_t i = 0; i < (fails ? rows.size() / 2 : rows.size()); ++i) {
            stream_of(rows[i].slot).push_back(rows[i].token);
            if (rows[i].wants_logits) {
                next_[i] = model_.next(stream_of(rows[i].slot));
            }
        }
        for (const Row &row : rows) {
            torn_[static_cast<std::size_t>(row.slot)] = fails;
        }
        return fails ? DecodeStatus::kFailed : DecodeStatus::kOk;
    }

    TokenId next_at(std::size_t row) const {
        const TokenId next = next_.at(row);
        CHECK(next >= 0); // else the row did not ask for logits
        return next;
    }

    FakeModel &model_;
    std::vector<Tokens> streams_;
    std::vector<bool> torn_; // by slot: a failure is to be rolled back
    std::vector<TokenId> next_;
    std::array<float, kVocabulary> logits_{};
    std::array<char, kVocabulary> bytes_{};
    std::atomic<bool> aborted_{false};
};

inline std::unique_ptr<ModelRunner> FakeModel::runner() { return std::make_unique<FakeRunner>(*this); }

} // namespace llamad
