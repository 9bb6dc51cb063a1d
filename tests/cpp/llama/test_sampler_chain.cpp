#include <functional>
#include <stdexcept>
#include <string>

#include "check.h"
#include "reference_chain.h"

#include "llama/llama_sampler.h"
#include "llama/logit_edits.h"
#include "llama/shortlist.h"

using namespace llamad;

namespace {

constexpr std::int32_t kVocab = 49'152; // SmolLM2's
constexpr std::int32_t kCtx = 512;

template <typename T> T any_of(std::mt19937 &random, std::initializer_list<T> values) {
    return values.begin()[random() % values.size()];
}

// Parameters for which a short list is exact: a top-k that is small, or min-p alone.
SamplingParams short_params(std::mt19937 &random) {
    SamplingParams params;
    params.top_k = any_of<std::int32_t>(random, {1, 2, 20, 40, 100, 384, 0});
    params.min_p = any_of(random, {0.0F, 0.02F, 0.05F, 0.5F, 1.0F});
    params.xtc_probability = any_of(random, {0.0F, 0.5F, 1.0F});
    params.xtc_threshold = any_of(random, {0.02F, 0.1F});
    params.temperature = any_of(random, {0.2F, 0.8F, 1.0F, 1.7F});
    if (params.top_k == 0) {
        params.top_p = 1;
        params.min_p = std::max(params.min_p, 0.02F);
    } else {
        params.top_p = any_of(random, {0.3F, 0.95F, 1.0F});
        params.typical_p = any_of(random, {0.4F, 0.9F, 1.0F});
    }
    return params;
}

void add_edits(std::mt19937 &random, SamplingParams &params, const Logits &row) {
    params.repeat_penalty = any_of(random, {1.0F, 1.1F, 1.7F});
    params.frequency_penalty = any_of(random, {0.0F, 0.37F, -0.6F});
    params.presence_penalty = any_of(random, {0.0F, 0.41F, -0.8F});
    params.repeat_last_n = any_of<std::int32_t>(random, {0, 1, 7, 64, kCtx});
    const auto likeliest = static_cast<TokenId>(std::max_element(row.begin(), row.end()) - row.begin());
    params.logit_bias = {{likeliest, any_of(random, {kMinusInf, -2.5F, 3.5F})}};
    for (int i = 0; i < 20; ++i) {
        params.logit_bias.emplace_back(static_cast<TokenId>(random() % kVocab),
                                       any_of(random, {kMinusInf, -1.5F, 11.3F}));
    }
}

// A text in which the row's likely tokens stand out, so that penalties meet candidates.
Tokens random_text(std::mt19937 &random, const Logits &row, std::size_t size) {
    CandidateSelector selector;
    const auto likely = selector.largest(row, 100);
    Tokens text(size);
    for (TokenId &token : text) {
        token = random() % 2 == 0 ? likely[random() % likely.size()].token
                                  : static_cast<TokenId>(random() % kVocab);
    }
    return text;
}

void check_same(const llama_token_data_array &a, const llama_token_data_array &b) {
    CHECK_EQ(a.size, b.size);
    CHECK_EQ(a.sorted, b.sorted);
    std::size_t n_different = 0;
    for (std::size_t i = 0; i < std::min(a.size, b.size); ++i) {
        const bool same =
            a.data[i].id == b.data[i].id && a.data[i].logit == b.data[i].logit && a.data[i].p == b.data[i].p;
        n_different += same ? 0 : 1;
    }
    CHECK_EQ(n_different, 0);
}

// Both chains generate the same tokens from the row, which stays as it was. It is the same at each step, so
// that what has been generated is likely again but for its penalties.
void check_same_tokens(const SamplingParams &params, std::span<const TokenId> prompt, Logits row,
                       int n_tokens) {
    const auto n_vocab = static_cast<std::int32_t>(row.size());
    const Logits before = row;
    LlamaSamplerChain ours({.llama = nullptr, .size = n_vocab, .forbidden = {}, .ends = {}}, params, prompt,
                           kCtx);
    ReferenceChain theirs(params, n_vocab);
    for (const TokenId token : prompt) {
        theirs.accept(token);
    }
    for (int i = 0; i < n_tokens; ++i) {
        const TokenId token = ours.sample(row);
        CHECK(row == before);
        CHECK_EQ(token, theirs.draw(row));
        theirs.accept(token);
    }
}

} // namespace

TEST("what is listed, and its probabilities, are what llama.cpp's chain has after top-k") {
    std::mt19937 random(1);
    for (int round = 0; round < 300; ++round) {
        Logits row = random_row(random, kVocab);
        SamplingParams params = short_params(random);
        params.seed = round;
        add_edits(random, params, row);
        const Tokens text = random_text(random, row, 80);

        LogitEdits edits(params.logit_bias, params, kVocab, params.repeat_last_n);
        ReferenceChain reference(params, kVocab);
        for (const TokenId token : text) {
            edits.accept(token);
            reference.accept(token);
        }
        llama_token_data_array theirs = reference.up_to_top_k(row);
        const Logits before = row;
        edits.apply(row);
        Shortlist shortlist(params, kVocab);
        Listed ours = shortlist.list(row);
        edits.undo();
        CHECK(row == before);
        CHECK(ours.is_short);

        if (params.top_k > 0) {
            check_same(ours.array, theirs);
        }
        reference.finish(theirs);
        ReferenceChain same_seed(params, kVocab);
        same_seed.finish(ours.array);
        check_same(ours.array, theirs);
        CHECK_EQ(ours.array.selected, theirs.selected);
    }
}

TEST("with the same seed, every short list leads to llama.cpp's tokens") {
    std::mt19937 random(2);
    for (int round = 0; round < 40; ++round) {
        const Logits row = random_row(random, kVocab);
        SamplingParams params = short_params(random);
        params.seed = round;
        add_edits(random, params, row);
        check_same_tokens(params, random_text(random, row, random() % 700), row, 10);
    }
}

TEST("with the same seed, the full chain gives llama.cpp's tokens") {
    std::mt19937 random(3);
    const auto check = [&random](const std::function<void(SamplingParams &)> &change) {
        const Logits row = random_row(random, kVocab);
        SamplingParams params;
        params.seed = 5;
        change(params);
        check_same_tokens(params, random_text(random, row, 100), row, 12);
        add_edits(random, params, row);
        check_same_tokens(params, random_text(random, row, 100), row, 12);
    };
    check([](auto &params) { params.top_k = 0; });
    check([](auto &params) { params.top_k = 1000; });
    check([](auto &params) { params.top_k = kVocab; });
    check([](auto &params) { params.top_k = 0, params.min_p = 0, params.top_p = 1; });
    check([](auto &params) { params.mirostat = 1; });
    check([](auto &params) { params.mirostat = 2, params.temperature = 0.7F; });
}

TEST("greedy with penalties is llama.cpp's whatever the other parameters are") {
    std::mt19937 random(4);
    for (const std::int32_t top_k : {0, 40, 1000}) {
        const Logits row = random_row(random, kVocab);
        SamplingParams params;
        params.seed = 1;
        params.temperature = 0;
        params.top_k = top_k;
        add_edits(random, params, row);
        params.repeat_last_n = 64;
        params.repeat_penalty = 1.8F;
        check_same_tokens(params, random_text(random, row, 100), row, 10);
    }
}

TEST("a small vocabulary") {
    std::mt19937 random(5);
    for (const std::int32_t n_vocab : {1, 2, 63, 64, 65, 300, 5121}) {
        const Logits row = random_row(random, static_cast<std::size_t>(n_vocab));
        SamplingParams params;
        params.seed = n_vocab;
        params.repeat_penalty = 1.5F;
        check_same_tokens(params, {}, row, 20);
        params.top_k = 2;
        check_same_tokens(params, {}, row, 20);
    }
}

TEST("forbidden tokens are never taken, and where all are, sampling throws and leaves the row alone") {
    std::mt19937 random(8);
    const LlamaSamplerChain::Vocabulary vocabulary{
        .llama = nullptr, .size = 4, .forbidden = {1, 3}, .ends = {}};
    for (const std::int32_t mirostat : {0, 1, 2}) {
        SamplingParams params;
        params.mirostat = mirostat;
        params.logit_bias = {{2, kMinusInf}};
        LlamaSamplerChain one_left(vocabulary, params, {}, kCtx);
        for (int i = 0; i < 10; ++i) {
            Logits row = random_row(random, 4);
            CHECK_EQ(one_left.sample(row), 0);
        }
        params.logit_bias.emplace_back(0, kMinusInf);
        LlamaSamplerChain none_left(vocabulary, params, {}, kCtx);
        Logits row = random_row(random, 4);
        const Logits before = row;
        CHECK_THROWS(std::runtime_error, none_left.sample(row));
        CHECK(row == before);
    }
}

TEST("a row without a number in it, or none at all, throws") {
    for (const float nothing : {std::numeric_limits<float>::quiet_NaN(), kMinusInf}) {
        for (const std::int32_t top_k : {0, 1, 40}) {
            SamplingParams params;
            params.top_k = top_k;
            LlamaSamplerChain chain({.llama = nullptr, .size = 6000, .forbidden = {}, .ends = {}}, params, {},
                                    kCtx);
            Logits row(6000, nothing);
            CHECK_THROWS(std::runtime_error, chain.sample(row));
            row[4321] = -3.0F;
            CHECK_EQ(chain.sample(row), 4321);
            CHECK_THROWS(std::runtime_error, chain.sample(std::span<float>()));
        }
    }
}

TEST("other seeds give other tokens, as does none") {
    std::mt19937 random(9);
    Logits row = random_row(random, kVocab);
    const auto first_tokens = [&row](std::optional<std::int64_t> seed) {
        SamplingParams params;
        params.temperature = 2;
        params.seed = seed;
        LlamaSamplerChain chain({.llama = nullptr, .size = kVocab, .forbidden = {}, .ends = {}}, params, {},
                                kCtx);
        Tokens tokens(16);
        std::ranges::generate(tokens, [&] { return chain.sample(row); });
        return tokens;
    };
    CHECK(first_tokens(1) == first_tokens(1));
    CHECK(first_tokens(1) != first_tokens(2));
    CHECK(first_tokens(1) != first_tokens(1 + (std::int64_t{1} << 32)));
    CHECK(first_tokens(std::nullopt) != first_tokens(std::nullopt));
    CHECK(first_tokens(-1) != first_tokens(-1));
}
