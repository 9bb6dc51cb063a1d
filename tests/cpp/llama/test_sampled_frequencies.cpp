#include <cmath>
#include <functional>

#include "check.h"
#include "reference_chain.h"

#include "llama/llama_sampler.h"

using namespace llamad;

namespace {

// Probabilities of top-k, top-p, min-p and temperature in turn, computed from their definitions.
std::vector<std::pair<TokenId, double>> expected(const Logits &row, const SamplingParams &params) {
    std::vector<std::pair<TokenId, double>> tokens;
    for (std::size_t i = 0; i < row.size(); ++i) {
        tokens.emplace_back(static_cast<TokenId>(i), static_cast<double>(row[i]));
    }
    std::ranges::sort(tokens, std::greater{}, &std::pair<TokenId, double>::second);
    if (params.top_k > 0) {
        tokens.resize(static_cast<std::size_t>(params.top_k));
    }
    const double best = tokens.front().second;
    double total = 0;
    for (const auto &[token, logit] : tokens) {
        total += std::exp(logit - best);
    }
    double running = 0;
    std::size_t n = 0;
    while (n < tokens.size() && (params.top_p >= 1 || running < static_cast<double>(params.top_p))) {
        running += std::exp(tokens[n++].second - best) / total;
    }
    tokens.resize(n);
    std::erase_if(tokens, [&](const auto &token) {
        return token.second < best + std::log(static_cast<double>(params.min_p));
    });
    total = 0;
    for (auto &[token, logit] : tokens) {
        logit = std::exp((logit - best) / static_cast<double>(params.temperature));
        total += logit;
    }
    for (auto &[token, probability] : tokens) {
        probability /= total;
    }
    return tokens;
}

} // namespace

TEST("sampled frequencies are the chain's probabilities") {
    constexpr int kDraws = 20'000;
    std::mt19937 random(6);
    SamplingParams top_k;
    SamplingParams flat;
    flat.top_k = 20, flat.top_p = 1, flat.min_p = 0, flat.temperature = 3;
    SamplingParams min_p;
    min_p.top_k = 0, min_p.top_p = 1, min_p.min_p = 0.1F, min_p.temperature = 1;
    SamplingParams full;
    full.top_k = 0, full.min_p = 0.2F, full.top_p = 0.7F;
    for (SamplingParams params : {top_k, flat, min_p, full}) {
        params.seed = 7;
        Logits row = random_row(random, 8192); // top_k 40 takes the short list from 5,120 tokens on
        LlamaSamplerChain chain({.llama = nullptr, .size = 8192, .forbidden = {}, .ends = {}}, params, {},
                                64);
        std::vector<int> counts(row.size());
        for (int i = 0; i < kDraws; ++i) {
            ++counts[static_cast<std::size_t>(chain.sample(row))];
        }
        const auto probabilities = expected(row, params);
        double chi_square = 0;
        int n_seen = 0;
        for (const auto &[token, probability] : probabilities) {
            const int count = counts[static_cast<std::size_t>(token)];
            n_seen += count;
            chi_square += std::pow(count - kDraws * probability, 2) / (kDraws * probability);
        }
        CHECK_EQ(n_seen, kDraws);
        REQUIRE(probabilities.size() > 4);
        // Four standard deviations above the mean: one fair sampler in ten thousand would fail. The seed is
        // fixed, so this one always passes or never.
        const auto freedom = static_cast<double>(probabilities.size() - 1);
        CHECK(chi_square < freedom + 4 * std::sqrt(2 * freedom));
    }
}
