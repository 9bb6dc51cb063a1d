// llama.cpp's sampling chain and grammar behind the engine's SamplerChain.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "llama-cpp.h"

#include "core/params.h"
#include "core/sampler.h"
#include "llama/grammar.h"
#include "llama/llama_model.h"
#include "llama/logit_edits.h"
#include "llama/shortlist.h"

namespace llamad {

// The samplers of llama.cpp's default chain in its order: logit bias, penalties, DRY, top-k, typical, top-p,
// min-p, XTC, temperature, and the draw; or bias, temperature and mirostat. The result has the distribution
// that llama.cpp's chain has, and with a seed is the same token; only the work before top-k's few survivors
// is done otherwise (LogitEdits, Shortlist).
class LlamaSamplerChain final : public SamplerChain {
  public:
    // What the chain needs to know of a model.
    struct Vocabulary {
        const llama_vocab *llama = nullptr; // read for a grammar and for DRY alone
        std::int32_t size = 0;
        std::vector<TokenId> forbidden; // never taken
        std::vector<TokenId> ends;      // not taken before params.min_tokens
    };

    // `prompt` is what the penalties and DRY look back at. `n_ctx` is what a look-back of -1 means.
    // `params` must have passed validate(). Throws GrammarError.
    LlamaSamplerChain(const Vocabulary &vocabulary, const SamplingParams &params,
                      std::span<const TokenId> prompt, std::int32_t n_ctx);

    // The same, forbidding the model's suppressed tokens and what params.ignore_eos asks for.
    LlamaSamplerChain(const LlamaModel &model, const SamplingParams &params, std::span<const TokenId> prompt,
                      std::int32_t n_ctx);

    // 1. Take a token as if there were no grammar.
    // 2. If there is one and it does not allow the token, take one of those that it allows: checking a single
    //    token is a thousand times cheaper than checking all, and models mostly fit their grammar.
    // Throws std::runtime_error where no token can be taken, or the grammar takes too long.
    // Of some of a row, kUndecided where the likeliest tokens may not all be among them.
    TokenId sample(LogitRow logits) override;

    // A grammar that holds may rule out all of some tokens; a raised logit may be one that is not there.
    bool needs_all_logits() const override {
        return (grammar_ && !grammar_->waiting()) || shortlist_.needs_all_logits() || !edits_.only_lowers();
    }

    bool is_slow() const override { return (grammar_ && !grammar_->waiting()) || !shortlist_.is_short(); }

  private:
    TokenId follow(Grammar &grammar, TokenId token, std::span<const float> logits);
    TokenId draw(Listed listed);

    std::size_t n_vocab_;
    LogitEdits edits_;
    std::optional<LogitEdits> early_; // what forbids an end, while it does
    std::int32_t n_early_;            // for so many tokens more
    Shortlist shortlist_;
    std::optional<Grammar> grammar_;
    llama_sampler_ptr to_top_k_; // what a short list makes unnecessary: DRY, top-k
    llama_sampler_ptr rest_;     // ends by drawing a token
};

} // namespace llamad
