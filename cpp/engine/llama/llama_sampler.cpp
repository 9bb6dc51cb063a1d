#include "llama/llama_sampler.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/logit_scan.h"

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

// No sequence is longer than n_ctx, and llama.cpp allocates what it is told.
std::int32_t look_back(std::int32_t n, std::int32_t n_ctx) { return n < 0 ? n_ctx : std::min(n, n_ctx); }

std::int32_t penalty_look_back(const SamplingParams &params, std::int32_t n_ctx) {
    return params.mirostat != 0 ? 0 : look_back(params.repeat_last_n, n_ctx); // mirostat's chain has none
}

using Biases = std::vector<std::pair<TokenId, float>>;

Biases bans(std::span<const TokenId> forbidden) {
    Biases biases;
    for (const TokenId token : forbidden) {
        biases.emplace_back(token, kImpossible);
    }
    return biases;
}

Biases all_biases(const SamplingParams &params, std::span<const TokenId> forbidden) {
    Biases biases = bans(forbidden);
    biases.insert(biases.begin(), params.logit_bias.begin(), params.logit_bias.end());
    return biases;
}

std::vector<TokenId> forbidden_tokens(const LlamaModel &model, bool ignore_eos) {
    std::vector<TokenId> forbidden = model.suppressed_tokens();
    if (ignore_eos) {
        const std::vector<TokenId> &ends = model.end_of_generation_tokens();
        forbidden.insert(forbidden.end(), ends.begin(), ends.end());
    }
    return forbidden;
}

llama_sampler_ptr empty_chain() {
    llama_sampler_chain_params params = llama_sampler_chain_default_params();
    params.no_perf = true;
    return llama_sampler_ptr(llama_sampler_chain_init(params));
}

std::optional<LogitEdits> make_early(const LlamaSamplerChain::Vocabulary &vocabulary,
                                     const SamplingParams &params) {
    if (params.min_tokens == 0) {
        return std::nullopt;
    }
    return LogitEdits(bans(vocabulary.ends), {}, vocabulary.size, 0);
}

llama_sampler_ptr make_to_top_k(const llama_vocab *vocab, const SamplingParams &params, std::int32_t n_ctx) {
    llama_sampler_ptr chain = empty_chain();
    if (params.mirostat != 0) {
        return chain;
    }
    if (params.dry_multiplier != 0) {
        std::vector<const char *> breakers;
        breakers.reserve(params.dry_sequence_breakers.size());
        for (const std::string &breaker : params.dry_sequence_breakers) {
            breakers.push_back(breaker.c_str());
        }
        llama_sampler_chain_add(
            chain.get(), llama_sampler_init_dry(
                             vocab, params.dry_multiplier, params.dry_base, params.dry_allowed_length,
                             look_back(params.dry_penalty_last_n, n_ctx), breakers.data(), breakers.size()));
    }
    llama_sampler_chain_add(chain.get(), llama_sampler_init_top_k(params.top_k));
    return chain;
}

llama_sampler_ptr make_rest(std::int32_t n_vocab, const SamplingParams &params) {
    constexpr std::size_t kMinKeep = 0;
    constexpr std::int32_t kMirostatTokens = 100; // that version 1 estimates from; llama.cpp's own choice
    const std::uint32_t seed = fold_seed(params.seed);
    // Below this, dividing a logit by the temperature overflows.
    const float temperature = params.temperature < 1e-30F ? 0.0F : params.temperature;
    llama_sampler_ptr chain = empty_chain();
    const auto add = [&chain](llama_sampler *sampler) { llama_sampler_chain_add(chain.get(), sampler); };
    if (params.mirostat == 0) {
        add(llama_sampler_init_typical(params.typical_p, kMinKeep));
        add(llama_sampler_init_top_p(params.top_p, kMinKeep));
        add(llama_sampler_init_min_p(params.min_p, kMinKeep));
        add(llama_sampler_init_xtc(params.xtc_probability, params.xtc_threshold, kMinKeep, seed));
    }
    add(llama_sampler_init_temp(temperature));
    add(params.mirostat == 0 ? llama_sampler_init_dist(seed)
        : params.mirostat == 1
            ? llama_sampler_init_mirostat(n_vocab, seed, params.mirostat_tau, params.mirostat_eta,
                                          kMirostatTokens)
            : llama_sampler_init_mirostat_v2(seed, params.mirostat_tau, params.mirostat_eta));
    return chain;
}

// Takes the edits back however sampling ends.
class EditedRow {
  public:
    EditedRow(LogitEdits &edits, LogitRow logits) : edits_(edits) { edits_.apply(logits); }
    ~EditedRow() { edits_.undo(); }
    EditedRow(const EditedRow &) = delete;
    EditedRow &operator=(const EditedRow &) = delete;

  private:
    LogitEdits &edits_;
};

} // namespace

LlamaSamplerChain::LlamaSamplerChain(const Vocabulary &vocabulary, const SamplingParams &params,
                                     std::span<const TokenId> prompt, std::int32_t n_ctx)
    : n_vocab_(static_cast<std::size_t>(vocabulary.size)),
      edits_(all_biases(params, vocabulary.forbidden), params, vocabulary.size,
             penalty_look_back(params, n_ctx)),
      early_(make_early(vocabulary, params)), n_early_(params.min_tokens),
      shortlist_(params, vocabulary.size), to_top_k_(make_to_top_k(vocabulary.llama, params, n_ctx)),
      rest_(make_rest(vocabulary.size, params)) {
    if (!params.grammar.empty()) {
        grammar_.emplace(vocabulary.llama, params);
    }
    // More of a long prompt would only be forgotten again.
    const std::int32_t furthest =
        std::max(look_back(params.repeat_last_n, n_ctx), look_back(params.dry_penalty_last_n, n_ctx));
    for (const TokenId token : prompt.last(std::min(prompt.size(), static_cast<std::size_t>(furthest)))) {
        edits_.accept(token);
        llama_sampler_accept(to_top_k_.get(), token);
    }
}

LlamaSamplerChain::LlamaSamplerChain(const LlamaModel &model, const SamplingParams &params,
                                     std::span<const TokenId> prompt, std::int32_t n_ctx)
    : LlamaSamplerChain({.llama = model.vocab(),
                         .size = model.n_vocab(),
                         .forbidden = forbidden_tokens(model, params.ignore_eos),
                         .ends = model.end_of_generation_tokens()},
                        params, prompt, n_ctx) {}

TokenId LlamaSamplerChain::sample(LogitRow logits) {
    if (logits.has_all() && logits.values().size() != n_vocab_) {
        throw std::runtime_error("the model returned no logits");
    }
    if (n_early_ == 0) {
        early_.reset();
    }
    const EditedRow row(edits_, logits);
    const std::optional<EditedRow> no_end =
        early_ ? std::optional<EditedRow>(std::in_place, *early_, logits) : std::nullopt;
    const Listed listed = shortlist_.list(logits);
    if (listed.is_cut_off) {
        return kUndecided;
    }
    TokenId token = draw(listed);
    if (grammar_) {
        token = follow(*grammar_, token, logits.values());
    }
    n_early_ -= n_early_ > 0 ? 1 : 0;
    edits_.accept(token);
    llama_sampler_accept(to_top_k_.get(), token);
    llama_sampler_accept(rest_.get(), token);
    return token;
}

TokenId LlamaSamplerChain::follow(Grammar &grammar, TokenId token, std::span<const float> logits) {
    if (!grammar.allows(token)) {
        token = draw(shortlist_.list_allowed(logits, [&](auto &array) { grammar.keep_allowed(array); }));
    }
    grammar.accept(token);
    return token;
}

TokenId LlamaSamplerChain::draw(Listed listed) {
    llama_token_data_array &array = listed.array;
    if (array.size == 0) { // llama.cpp would end the process
        throw std::runtime_error("no token is allowed here: the grammar has come to a dead end, or all are "
                                 "forbidden");
    }
    if (!listed.is_short) {
        llama_sampler_apply(to_top_k_.get(), &array);
    }
    llama_sampler_apply(rest_.get(), &array);
    if (array.selected < 0 || !(array.data[array.selected].logit > kImpossible)) {
        throw std::runtime_error("the samplers have ruled out every token");
    }
    return array.data[array.selected].id;
}

} // namespace llamad
