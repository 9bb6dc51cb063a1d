// llama.cpp's own sampling chain, built as its `common` library builds it, to compare with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "llama-cpp.h"

#include "core/params.h"
#include "core/types.h"

namespace llamad {

using Tokens = std::vector<TokenId>;
using Logits = std::vector<float>;

inline constexpr float kMinusInf = -std::numeric_limits<float>::infinity();

// A row as models give: a wide field and a few likely tokens; no two logits are equal, for llama.cpp's order
// of equals is whatever its sort makes it.
inline Logits random_row(std::mt19937 &random, std::size_t n_vocab) {
    std::normal_distribution<float> normal(-2.0F, 3.0F);
    Logits row(n_vocab);
    std::generate(row.begin(), row.end(), [&] { return normal(random); });
    std::sort(row.begin(), row.end());
    for (std::size_t i = 1; i < row.size(); ++i) {
        row[i] = std::max(row[i], std::nextafter(row[i - 1], std::numeric_limits<float>::max()));
    }
    std::shuffle(row.begin(), row.end(), random);
    return row;
}

// The samplers from the first of common's default order to the last. `vocab` is read for DRY alone.
class ReferenceChain {
  public:
    ReferenceChain(const SamplingParams &params, std::int32_t n_vocab, const llama_vocab *vocab = nullptr)
        : to_top_k_(llama_sampler_chain_init(llama_sampler_chain_default_params())),
          rest_(llama_sampler_chain_init(llama_sampler_chain_default_params())) {
        const auto seed = static_cast<std::uint32_t>(params.seed.value_or(0));
        std::vector<llama_logit_bias> bias;
        for (const auto &[token, value] : params.logit_bias) {
            bias.push_back({token, value});
        }
        if (!bias.empty()) {
            add(to_top_k_,
                llama_sampler_init_logit_bias(n_vocab, static_cast<std::int32_t>(bias.size()), bias.data()));
        }
        if (params.mirostat != 0) {
            add(rest_, llama_sampler_init_temp(params.temperature));
            add(rest_, params.mirostat == 1
                           ? llama_sampler_init_mirostat(n_vocab, seed, params.mirostat_tau,
                                                         params.mirostat_eta, 100)
                           : llama_sampler_init_mirostat_v2(seed, params.mirostat_tau, params.mirostat_eta));
            return;
        }
        add(to_top_k_, llama_sampler_init_penalties(n_vocab, params.repeat_last_n, params.repeat_penalty,
                                                    params.frequency_penalty, params.presence_penalty));
        std::vector<const char *> breakers;
        for (const std::string &breaker : params.dry_sequence_breakers) {
            breakers.push_back(breaker.c_str());
        }
        add(to_top_k_,
            llama_sampler_init_dry(vocab, params.dry_multiplier, params.dry_base, params.dry_allowed_length,
                                   params.dry_penalty_last_n, breakers.data(), breakers.size()));
        add(to_top_k_, llama_sampler_init_top_n_sigma(-1));
        add(to_top_k_, llama_sampler_init_top_k(params.top_k));
        add(rest_, llama_sampler_init_typical(params.typical_p, 0));
        add(rest_, llama_sampler_init_top_p(params.top_p, 0));
        add(rest_, llama_sampler_init_min_p(params.min_p, 0));
        add(rest_, llama_sampler_init_xtc(params.xtc_probability, params.xtc_threshold, 0, seed));
        add(rest_, llama_sampler_init_temp_ext(params.temperature, 0, 1));
        add(rest_, llama_sampler_init_dist(seed));
    }

    // What is left after top-k. Valid until the next call.
    llama_token_data_array up_to_top_k(std::span<const float> logits) {
        candidates_.clear();
        for (std::size_t i = 0; i < logits.size(); ++i) {
            candidates_.push_back({static_cast<llama_token>(i), logits[i], 0.0F});
        }
        llama_token_data_array array{candidates_.data(), candidates_.size(), -1, false};
        llama_sampler_apply(to_top_k_.get(), &array);
        return array;
    }

    // Runs the samplers after top-k, the draw included.
    void finish(llama_token_data_array &array) { llama_sampler_apply(rest_.get(), &array); }

    TokenId draw(std::span<const float> logits) {
        llama_token_data_array array = up_to_top_k(logits);
        finish(array);
        return array.data[array.selected].id;
    }

    // As common_sampler_sample() does it: the token first, the whole vocabulary only if it does not fit. What
    // is no text does not fit either.
    TokenId draw(std::span<const float> logits, llama_sampler *grammar,
                 const std::function<bool(TokenId)> &is_text) {
        const TokenId token = draw(logits);
        llama_token_data single{token, 1.0F, 0.0F};
        llama_token_data_array array{&single, 1, -1, false};
        llama_sampler_apply(grammar, &array);
        if (single.logit != kMinusInf && is_text(token)) {
            return token;
        }
        std::vector<llama_token_data> all;
        for (std::size_t i = 0; i < logits.size(); ++i) {
            all.push_back({static_cast<llama_token>(i), logits[i], 0.0F});
        }
        array = {all.data(), all.size(), -1, false};
        llama_sampler_apply(grammar, &array);
        for (llama_token_data &candidate : all) {
            candidate.logit = is_text(candidate.id) ? candidate.logit : kMinusInf;
        }
        llama_sampler_apply(to_top_k_.get(), &array);
        finish(array);
        return array.data[array.selected].id;
    }

    void accept(TokenId token) {
        llama_sampler_accept(to_top_k_.get(), token);
        llama_sampler_accept(rest_.get(), token);
    }

  private:
    static void add(const llama_sampler_ptr &chain, llama_sampler *sampler) {
        llama_sampler_chain_add(chain.get(), sampler);
    }

    llama_sampler_ptr to_top_k_;
    llama_sampler_ptr rest_;
    std::vector<llama_token_data> candidates_;
};

} // namespace llamad
