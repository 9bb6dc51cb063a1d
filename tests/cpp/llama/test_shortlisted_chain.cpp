#include <memory>
#include <string>

#include "check.h"
#include "reference_chain.h"
#include "some_logits.h"

#include "llama/backend_shortlist.h"
#include "llama/llama_sampler.h"
#include "llama/row_sampling.h"
#include "llama/shortlist.h"

using namespace llamad;

namespace {

constexpr std::int32_t kVocab = 49'152;
constexpr std::int32_t kCtx = 512;
constexpr std::size_t kGroups = BackendShortlist::kGroups;

template <typename T> T any_of(std::mt19937 &random, std::initializer_list<T> values) {
    return values.begin()[random() % values.size()];
}

std::unique_ptr<SamplerChain> make_chain(const SamplingParams &params, const Tokens &prompt) {
    return std::make_unique<LlamaSamplerChain>(
        LlamaSamplerChain::Vocabulary{.llama = nullptr, .size = kVocab, .forbidden = {3, 77}, .ends = {5, 6}},
        params, prompt, kCtx);
}

SamplingParams any_params(std::mt19937 &random) {
    SamplingParams params;
    params.seed = static_cast<std::int64_t>(random());
    params.top_k = any_of<std::int32_t>(random, {1, 20, 40, 63, 0});
    params.top_p = params.top_k == 0 ? 1.0F : any_of(random, {0.3F, 0.95F, 1.0F});
    params.min_p = params.top_k == 0 ? 0.1F : any_of(random, {0.0F, 0.05F});
    params.temperature = any_of(random, {0.0F, 0.8F, 1.7F});
    params.typical_p = params.top_k == 0 ? 1.0F : any_of(random, {0.9F, 1.0F});
    params.xtc_probability = any_of(random, {0.0F, 0.5F});
    params.repeat_penalty = any_of(random, {1.0F, 1.3F});
    params.frequency_penalty = any_of(random, {0.0F, 0.4F});
    params.presence_penalty = any_of(random, {0.0F, 0.7F});
    params.min_tokens = any_of<std::int32_t>(random, {0, 2});
    if (random() % 2 == 0) {
        params.logit_bias = {{1000, kMinusInf}, {2000, -2.0F}, {3000, 0.0F}};
    }
    return params;
}

} // namespace

TEST("from some of a row the chain draws what it draws from all, and says when it cannot") {
    std::mt19937 random(1);
    int n_drawn = 0;
    int n_undecided = 0;
    for (int round = 0; round < 150; ++round) {
        const SamplingParams params = any_params(random);
        const Tokens prompt{1000, 2000, 5, 5, 40'000};
        const auto from_some = make_chain(params, prompt);
        const auto from_all = make_chain(params, prompt);
        CHECK(!from_some->needs_all_logits());
        for (int step = 0; step < 5; ++step) {
            Logits logits = random_row(random, kVocab);
            for (const std::size_t likely : {3U, 5U, 77U, 1000U, 2000U}) { // what is forbidden or penalized
                logits[likely] = 20.0F + static_cast<float>(random() % 1000) / 500;
            }
            // Few groups do not always have enough tokens.
            SomeLogits picked(random, logits, round % 5 == 0 ? 8 : kGroups, round % 3);
            const std::vector<float> before = picked.values();
            TokenId token = from_some->sample(picked.row());
            CHECK(picked.values() == before);
            if (token == kUndecided) {
                ++n_undecided;
                token = from_some->sample(logits); // as if it had never been asked
            } else {
                ++n_drawn;
            }
            CHECK_EQ(token, from_all->sample(logits));
        }
    }
    CHECK(n_undecided > 20);
    CHECK(n_drawn > 450);
}

TEST("with all groups that a device finds, fewer than 64 wanted tokens are always there") {
    std::mt19937 random(2);
    for (const std::int32_t top_k : {1, 40, 60}) {
        SamplingParams params;
        params.top_k = top_k;
        const auto chain = make_chain(params, {});
        for (int step = 0; step < 50; ++step) {
            const Logits logits = random_row(random, kVocab);
            SomeLogits picked(random, logits, kGroups);
            CHECK(chain->sample(picked.row()) != kUndecided);
        }
    }
}

TEST("some of a row do not do for what looks at all tokens or raises one") {
    const auto needs_all = [](auto change) {
        SamplingParams params;
        change(params);
        return make_chain(params, {1})->needs_all_logits();
    };
    CHECK(!needs_all([](SamplingParams &) {}));
    CHECK(!needs_all([](SamplingParams &params) { params.ignore_eos = true; }));
    CHECK(!needs_all([](SamplingParams &params) { params.logit_bias = {{1, -1.0F}}; }));
    CHECK(needs_all([](SamplingParams &params) { params.logit_bias = {{1, 0.5F}}; }));
    CHECK(needs_all([](SamplingParams &params) { params.repeat_penalty = 0.9F; }));
    CHECK(needs_all([](SamplingParams &params) { params.frequency_penalty = -0.1F; }));
    CHECK(needs_all([](SamplingParams &params) { params.presence_penalty = -0.1F; }));
    CHECK(needs_all([](SamplingParams &params) { params.top_k = 64; }));
    CHECK(needs_all([](SamplingParams &params) { params.top_k = 0; }));
    CHECK(needs_all([](SamplingParams &params) { params.mirostat = 2; }));
}

TEST("rows of some and of all logits are sampled side by side, by one thread and by several") {
    std::mt19937 random(3);
    std::vector<Logits> all;
    std::vector<SomeLogits> some;
    for (int i = 0; i < 24; ++i) {
        all.push_back(random_row(random, kVocab));
        some.emplace_back(random, all.back(), i == 5 ? 1 : kGroups);
    }
    const auto sample = [&](std::int32_t n_threads, bool with_some) {
        std::vector<std::unique_ptr<Sampler>> samplers;
        std::vector<SampleTask> tasks(all.size());
        std::vector<LogitRow> rows;
        for (std::size_t i = 0; i < all.size(); ++i) {
            SamplingParams params;
            params.seed = static_cast<std::int64_t>(i);
            samplers.push_back(
                std::make_unique<Sampler>(i % 3 == 0 ? nullptr : make_chain(params, {}), Tokens{}));
            tasks[i].row = i;
            tasks[i].sampler = samplers.back().get();
            rows.push_back(with_some && i % 4 != 0 ? some[i].row() : LogitRow(all[i]));
        }
        sample_rows(tasks, rows, n_threads);
        Tokens tokens;
        for (const SampleTask &task : tasks) {
            CHECK_EQ(task.error, "");
            tokens.push_back(task.token);
        }
        return tokens;
    };
    Tokens expected = sample(1, false);
    expected[5] = kUndecided; // one group does not have 40 tokens
    CHECK(sample(1, true) == expected);
    CHECK(sample(4, true) == expected);
}
