#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "check.h"
#include "logits.h"

#include "core/logprobs.h"

using namespace llamad;

namespace {

// log(sum(exp(logits))) in double precision.
double log_sum(const std::vector<float> &row) {
    double max = -HUGE_VAL;
    for (const float logit : row) {
        max = logit > -kInf ? std::max(max, static_cast<double>(logit)) : max;
    }
    double sum = 0;
    for (const float logit : row) {
        sum += logit > -kInf ? std::exp(static_cast<double>(logit) - max) : 0;
    }
    return max + std::log(sum);
}

void check_close(float logprob, double expected) {
    const double error = std::abs(static_cast<double>(logprob) - expected);
    CHECK(error <= 2e-6 + 1e-6 * std::abs(expected));
}

} // namespace

TEST("logprobs are the log-softmax in double precision") {
    std::mt19937 random(1);
    for (const std::size_t size : {1U, 2U, 63U, 64U, 65U, 4097U, 49'152U, 151'936U}) {
        for (const float scale : {0.0F, 0.01F, 1.0F, 20.0F, 1000.0F}) {
            std::vector<float> row = normal_row(random, size);
            std::ranges::transform(row, row.begin(), [scale](float logit) { return logit * scale; });
            const double total = log_sum(row);
            const auto token = static_cast<TokenId>(random() % size);
            const TokenLogprobs logprobs = token_logprobs(row, token, 20);
            CHECK_EQ(logprobs.token, token);
            check_close(logprobs.logprob, static_cast<double>(row[static_cast<std::size_t>(token)]) - total);
            CHECK_EQ(logprobs.top.size(), std::min<std::size_t>(size, 20));
            for (const auto &[likely, logprob] : logprobs.top) {
                check_close(logprob, static_cast<double>(row[static_cast<std::size_t>(likely)]) - total);
            }
        }
    }
}

TEST("a sharp row among many that are all but impossible") {
    std::vector<float> row(50'000, -200.0F);
    row[7] = 30.0F;
    row[8] = 29.0F;
    const TokenLogprobs logprobs = token_logprobs(row, 9, 3);
    check_close(logprobs.logprob, -230.0 - std::log1p(std::exp(-1.0)));
    CHECK_EQ(logprobs.top[0].first, 7);
    check_close(logprobs.top[0].second, -std::log1p(std::exp(-1.0)));
    CHECK_EQ(logprobs.top[1].first, 8);
    CHECK_EQ(logprobs.top[2].first, 0); // of equals, the lowest id
}

TEST("the top is as long as asked for, likeliest first, and without impossible tokens") {
    std::mt19937 random(2);
    std::vector<float> row = awkward_row(random, 500);
    const double total = log_sum(row);
    CHECK(token_logprobs(row, 3, 0).top.empty());
    const auto top = token_logprobs(row, 3, 5).top;
    CHECK_EQ(top.size(), 5);
    CHECK(std::ranges::is_sorted(top, [](const auto &a, const auto &b) {
        return a.second > b.second || (a.second == b.second && a.first < b.first);
    }));
    check_close(top[0].second, 3.0 - total);

    row.assign(300, -kInf);
    row[100] = 1.0F, row[200] = kNan;
    CHECK_EQ(token_logprobs(row, 100, 20).top.size(), 1);
    check_close(token_logprobs(row, 100, 0).logprob, 0);
    CHECK_EQ(token_logprobs(row, 5, 0).logprob, -kInf);
    CHECK_EQ(token_logprobs(row, 200, 0).logprob, -kInf);
}

TEST("a row without a number gives -inf, never NaN") {
    for (const float nothing : {-kInf, kNan}) {
        const std::vector<float> row(100, nothing);
        const TokenLogprobs logprobs = token_logprobs(row, 5, 20);
        CHECK_EQ(logprobs.logprob, -kInf);
        CHECK(logprobs.top.empty());
    }
    std::vector<float> row(100, 1.0F);
    row[7] = kInf;
    CHECK(!std::isnan(token_logprobs(row, 7, 0).logprob));
    CHECK_EQ(token_logprobs(row, 8, 0).logprob, -kInf);
}
