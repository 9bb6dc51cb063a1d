// Picks the next token of a request from its row of logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/logit_row.h"
#include "core/logprobs.h"
#include "core/types.h"

namespace llamad {

// What is returned in place of a token where some of a row do not tell which it is: only all logits do.
inline constexpr TokenId kUndecided = -1;

// Whatever a request needs beyond taking the likeliest token: a stateful chain, made with the request and
// owned by it. One thread at a time.
class SamplerChain {
  public:
    SamplerChain() = default;
    SamplerChain(const SamplerChain &) = delete;
    SamplerChain &operator=(const SamplerChain &) = delete;
    virtual ~SamplerChain() = default;

    // Picks a token from one row of logits and advances by it. May write to the logits while it works; has
    // put them back when it returns or throws. Of some of a row it may return kUndecided, and has not
    // advanced then; otherwise it is the token that it would have picked from all. Throws std::exception
    // where no token can be taken (a grammar that has come to a dead end).
    virtual TokenId sample(LogitRow logits) = 0;

    // Whether the next sample() wants all logits of its row: then some of them do not do.
    virtual bool needs_all_logits() const { return true; }

    // Whether it may look at every token more than once, which takes far longer than finding a few likely
    // ones.
    virtual bool is_slow() const { return false; }
};

struct Picked {
    TokenId token = -1;
    std::optional<TokenLogprobs> logprobs; // where asked for
};

// Greedy requests are answered from the logits; all others by their sampling chain. One thread at a time.
class Sampler {
  public:
    // `chain` null: take the likeliest token that is not forbidden. `forbidden` is read only then.
    // `n_logprobs`: how many of the likeliest tokens to report beside the one taken; -1: no logprobs at all.
    Sampler(std::unique_ptr<SamplerChain> chain, std::vector<TokenId> forbidden,
            std::int32_t n_logprobs = -1);

    // The logits are written to meanwhile, unchanged afterwards. Of some of a row: may pick kUndecided, and
    // nothing has happened then. Throws std::exception where no token can be taken.
    Picked pick(LogitRow logits);

    // Whether the next pick() wants all logits of its row.
    bool needs_all_logits() const {
        return n_logprobs_ >= 0 || (chain_ != nullptr && chain_->needs_all_logits());
    }

    bool is_slow() const { return chain_ != nullptr && chain_->is_slow(); }

  private:
    TokenId pick_token(LogitRow logits);

    std::unique_ptr<SamplerChain> chain_;
    std::vector<TokenId> forbidden_;
    std::int32_t n_logprobs_;
};

// One row to sample from or to score, and what became of it: the currency between the engine and the runner,
// which does all rows of a decode at once.
struct SampleTask {
    std::size_t row = 0;          // of the last decode(); its wants_logits was set
    Sampler *sampler = nullptr;   // the request's own; no two tasks share one; null: `token` is known
    std::int32_t n_logprobs = -1; // then how many of the likeliest tokens to report beside it
    TokenId token = kUndecided;   // out, unless it is known
    std::string error;            // out: why no token could be taken; empty if one was
    std::optional<TokenLogprobs> logprobs; // out, where asked for
};

// Index of the largest value; the lowest one on a tie; -1 if no value is above -inf (all NaN, say).
TokenId argmax(std::span<const float> logits);

// The same among the tokens that are not forbidden; kUndecided if it may be one that is not in the row.
// Writes to the logits and puts them back.
TokenId argmax_except(LogitRow logits, std::span<const TokenId> forbidden);

} // namespace llamad
