// A model without weights, for tests of the engine: what a test sets and sees of it. See fake_runner.h.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "check.h"
#include "gate.h"
#include "tokens.h"

#include "core/model_runner.h"

namespace llamad {

inline constexpr TokenId kEndToken = 0;    // ends a generation; has no bytes
inline constexpr TokenId kPoisonToken = 1; // no batch that holds it can be computed
inline constexpr std::size_t kVocabulary = 256;

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

struct CopyCall {
    SlotId from;
    SlotId to;

    bool operator==(const CopyCall &) const = default;
};

struct TrimCall {
    SlotId slot;
    Pos from;

    bool operator==(const TrimCall &) const = default;
};

// What kinds of models can do with what they hold: see RunnerLimits.
enum class Memory : std::uint8_t { kFull, kSlidingWindow, kRecurrent };

inline RunnerLimits with_memory(Memory memory, RunnerLimits limits) {
    limits.can_trim = memory != Memory::kRecurrent;
    limits.can_trim_states = memory == Memory::kFull;
    return limits;
}

// Tokens that a sliding window looks back at.
inline constexpr std::size_t kWindow = 8;

// The keys and values of one token.
struct KvCell {
    bool missing; // out of the window when it was saved, and so no part of the state
    TokenId token;
    std::uint32_t id;     // what takes room: a copy within a unified cache has the ids of its source
    std::uint32_t origin; // which of all rows was computed to make it; copies and saved states keep it
};

// What the test sees of the model; outlives the runner. The settings are read by the engine thread: set
// them before it starts.
class FakeModel {
  public:
    explicit FakeModel(
        const RunnerLimits &of_runner = {.n_slots = 4, .n_ctx = 64, .n_batch = 32, .n_ubatch = 16})
        : limits(of_runner) {}

    RunnerLimits limits;
    NextToken next = babble;
    std::size_t n_cells = std::numeric_limits<std::size_t>::max(); // of all slots together
    bool can_save = true;
    bool can_copy = true;
    bool can_restore = true;
    bool logits_are_nan = false;
    std::deque<DecodeStatus> outcomes; // of the first decodes, in place of their own; kOk changes nothing

    Gate gate;
    Gate device; // where decode() does not wait for what it begins: sample() waits for it here
    std::atomic<bool> runner_freed{false};
    std::atomic<int> rests{0};

    std::vector<DecodeCall> decodes() const {
        const std::lock_guard lock(mutex_);
        return decodes_;
    }

    // Those that were to drop something.
    std::vector<TrimCall> trims() const {
        const std::lock_guard lock(mutex_);
        return trims_;
    }

    std::vector<CopyCall> copies() const {
        const std::lock_guard lock(mutex_);
        return copies_;
    }

    // The slots that a saved state was brought back to.
    std::vector<SlotId> restores() const {
        const std::lock_guard lock(mutex_);
        return restores_;
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
    std::vector<CopyCall> copies_;
    std::vector<SlotId> restores_;
};

// Takes the same token as greedy sampling would, and throws in place of the `throw_at`-th.
struct FakeChain : SamplerChain {
    explicit FakeChain(int when = -1) : throw_at(when) {}
    TokenId sample(LogitRow logits) override {
        if (n_taken++ == throw_at) {
            throw std::runtime_error("dead end");
        }
        return argmax(logits.values());
    }
    int throw_at;
    int n_taken = 0;
};

} // namespace llamad
