#include "llama/llama_sampler.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <new>
#include <stdexcept>

#include "core/errors.h"

namespace llamad {

namespace {

// llama.cpp takes 32 bits and reads the all-ones value as "random".
std::uint32_t fold_seed(std::optional<std::int64_t> seed) {
    if (!seed || *seed == -1) {
        return LLAMA_DEFAULT_SEED;
    }
    const auto bits = static_cast<std::uint64_t>(*seed);
    const auto folded = static_cast<std::uint32_t>(bits ^ (bits >> 32));
    return folded == LLAMA_DEFAULT_SEED ? 0 : folded;
}

common_params_sampling to_common(const LlamaModel &model, const SamplingParams &params, std::int32_t n_ctx) {
    // No sequence is longer than n_ctx, and llama.cpp allocates what it is told.
    const auto look_back = [n_ctx](std::int32_t n) { return n < 0 ? n_ctx : std::min(n, n_ctx); };
    common_params_sampling common;
    common.seed = fold_seed(params.seed);
    // Below this, dividing a logit by the temperature overflows.
    common.temp = params.temperature < 1e-30F ? 0.0F : params.temperature;
    common.top_k = params.top_k;
    common.top_p = params.top_p;
    common.min_p = params.min_p;
    common.typ_p = params.typical_p;
    common.penalty_repeat = params.repeat_penalty;
    common.penalty_last_n = look_back(params.repeat_last_n);
    common.penalty_freq = params.frequency_penalty;
    common.penalty_present = params.presence_penalty;
    common.dry_multiplier = params.dry_multiplier;
    common.dry_base = params.dry_base;
    common.dry_allowed_length = params.dry_allowed_length;
    common.dry_penalty_last_n = look_back(params.dry_penalty_last_n);
    common.dry_sequence_breakers = params.dry_sequence_breakers;
    common.xtc_probability = params.xtc_probability;
    common.xtc_threshold = params.xtc_threshold;
    common.mirostat = params.mirostat;
    common.mirostat_tau = params.mirostat_tau;
    common.mirostat_eta = params.mirostat_eta;
    common.no_perf = true;
    if (!params.grammar.empty()) {
        common.grammar = common_grammar(COMMON_GRAMMAR_TYPE_USER, params.grammar);
    }
    for (const auto &[token, bias] : params.logit_bias) {
        common.logit_bias.push_back({token, bias});
    }
    if (params.ignore_eos) {
        for (const TokenId token : model.end_of_generation_tokens()) {
            common.logit_bias.push_back({token, -std::numeric_limits<float>::infinity()});
        }
    }
    return common;
}

} // namespace

LlamaSamplerChain::LlamaSamplerChain(const LlamaModel &model, const SamplingParams &params,
                                     std::span<const TokenId> prompt, std::int32_t n_ctx) {
    common_params_sampling common = to_common(model, params, n_ctx);
    try {
        sampler_.reset(common_sampler_init(model.get(), common));
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception &) {
        if (params.grammar.empty()) {
            throw;
        }
        // All that llama.cpp says is "failed to parse grammar".
        throw GrammarError("grammar", "grammar is not valid GBNF with a rule named \"root\"");
    }
    for (const TokenId token : prompt) {
        common_sampler_accept(sampler_.get(), token, /*is_generated=*/false);
    }
}

TokenId LlamaSamplerChain::sample(llama_context *context, std::int32_t row) {
    const llama_token token = common_sampler_sample(sampler_.get(), context, row);
    // Where everything is ruled out the chain takes something all the same, and a grammar that is handed
    // an end-of-generation token too early ends the process (GGML_ABORT in llama_grammar_accept_impl).
    const llama_token_data_array &candidates =
        *common_sampler_get_candidates(sampler_.get(), /*do_sort=*/false);
    const bool allowed = candidates.selected >= 0 &&
                         candidates.data[candidates.selected].logit > -std::numeric_limits<float>::infinity();
    if (!allowed) {
        throw std::runtime_error("no token is allowed here: the grammar has come to a dead end, or all are "
                                 "forbidden");
    }
    common_sampler_accept(sampler_.get(), token, /*is_generated=*/true);
    return token;
}

} // namespace llamad
