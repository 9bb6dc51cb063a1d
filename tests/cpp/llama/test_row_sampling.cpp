#include <memory>
#include <string>

#include "check.h"
#include "reference_chain.h"

#include "llama/llama_sampler.h"
#include "llama/row_sampling.h"

using namespace llamad;

namespace {

constexpr std::int32_t kVocab = 8192;
constexpr std::size_t kRows = 33;

std::unique_ptr<SamplerChain> chain(std::size_t row) {
    SamplingParams params;
    params.seed = static_cast<std::int64_t>(row);
    params.top_k = row % 3 == 0 ? 0 : 40; // some rows take much longer than others
    return std::make_unique<LlamaSamplerChain>(
        LlamaSamplerChain::Vocabulary{.llama = nullptr, .size = kVocab, .forbidden = {}, .ends = {}}, params,
        Tokens{}, 64);
}

struct Rows {
    Rows() {
        std::mt19937 random(1);
        for (std::size_t i = 0; i < kRows; ++i) {
            values.push_back(random_row(random, kVocab));
            samplers.push_back(
                std::make_unique<Sampler>(i % 4 == 1 ? nullptr : chain(i), Tokens{}, i % 5 == 0 ? 3 : -1));
        }
        values[7].assign(kVocab, kMinusInf);
        values[20].clear();
    }

    std::vector<SampleTask> sample(std::size_t n_rows, std::int32_t n_threads) {
        std::vector<SampleTask> tasks(n_rows);
        std::vector<LogitRow> logits;
        for (std::size_t i = 0; i < n_rows; ++i) {
            tasks[i].row = i;
            tasks[i].sampler = samplers[i].get();
            logits.emplace_back(values[i]);
        }
        sample_rows(tasks, logits, n_threads);
        return tasks;
    }

    std::vector<Logits> values;
    std::vector<std::unique_ptr<Sampler>> samplers;
};

} // namespace

TEST("several threads sample what one does, and errors stay with their rows") {
    for (const std::size_t n_rows : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{8}, kRows}) {
        Rows one;
        Rows several;
        for (int step = 0; step < 5; ++step) {
            const auto expected = one.sample(n_rows, 1);
            const auto tasks = several.sample(n_rows, 4);
            for (std::size_t i = 0; i < n_rows; ++i) {
                CHECK_EQ(tasks[i].token, expected[i].token);
                CHECK_EQ(tasks[i].error, expected[i].error);
                CHECK_EQ(tasks[i].error.empty(), i != 7 && i != 20);
                CHECK_EQ(tasks[i].token >= 0, tasks[i].error.empty());
                CHECK_EQ(tasks[i].logprobs.has_value(), i % 5 == 0 && tasks[i].error.empty());
            }
        }
    }
}
