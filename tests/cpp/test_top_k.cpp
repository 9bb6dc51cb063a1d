#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "check.h"
#include "logits.h"

#include "core/top_k.h"

using namespace llamad;

namespace {

using Values = std::vector<float>;
using Pairs = std::vector<std::pair<TokenId, float>>; // of candidates, to compare

Pairs pairs(std::span<const Candidate> candidates) {
    Pairs result;
    for (const Candidate &candidate : candidates) {
        result.emplace_back(candidate.token, candidate.logit);
    }
    return result;
}

Pairs possible(const Values &row) {
    Pairs result;
    for (std::size_t i = 0; i < row.size(); ++i) {
        if (row[i] > -kInf) {
            result.emplace_back(static_cast<TokenId>(i), row[i]);
        }
    }
    return result;
}

Pairs largest_by_sorting(const Values &row, std::size_t k) {
    Pairs all = possible(row);
    std::ranges::sort(all, [](const auto &a, const auto &b) {
        return a.second > b.second || (a.second == b.second && a.first < b.first);
    });
    all.resize(std::min(k, all.size()));
    return all;
}

Pairs near_largest_by_definition(const Values &row, float margin) {
    Pairs all = possible(row);
    float best = -kInf;
    for (const auto &entry : all) {
        best = std::max(best, entry.second);
    }
    std::erase_if(all, [bound = best + margin](const auto &entry) { return entry.second < bound; });
    return all;
}

void check_row(CandidateSelector &selector, const Values &row) {
    for (const std::size_t k : {1U, 2U, 7U, 40U, 63U, 64U, 65U, 200U, 1000U, 100'000U}) {
        CHECK(pairs(selector.largest(row, k)) == largest_by_sorting(row, k));
    }
    for (const float margin : {0.0F, -0.5F, std::log(0.05F), -20.0F, -kInf}) {
        CHECK(pairs(selector.near_largest(row, margin)) == near_largest_by_definition(row, margin));
    }
}

} // namespace

TEST("a full sort finds the same tokens, at every size") {
    std::mt19937 random(1);
    CandidateSelector selector;
    for (const std::size_t size :
         {1U, 2U, 63U, 64U, 65U, 1000U, 4095U, 4096U, 4097U, 4159U, 4161U, 49'152U}) {
        check_row(selector, normal_row(random, size));
        check_row(selector, awkward_row(random, size));
    }
}

TEST("random rows with ties, -inf and NaN, and any k") {
    std::mt19937 random(2);
    CandidateSelector selector;
    for (int round = 0; round < 400; ++round) {
        const std::size_t size = random() % 10'000;
        const Values row = random() % 2 == 0 ? awkward_row(random, size) : normal_row(random, size);
        const std::size_t k = random() % 300;
        CHECK(pairs(selector.largest(row, k)) == largest_by_sorting(row, k));
    }
}

TEST("the likeliest tokens side by side, or all in one lane") {
    std::mt19937 random(3);
    CandidateSelector selector;
    for (const std::size_t stride : {1U, 63U, 64U, 128U, 4096U}) {
        Values row = normal_row(random, 49'152);
        for (std::size_t i = 0; i < 200 && 5 + i * stride < row.size(); ++i) {
            row[5 + i * stride] += 100.0F;
        }
        check_row(selector, row);
    }
}

TEST("every magnitude: zeros of both signs, denormals, the largest floats, infinity") {
    CandidateSelector selector;
    constexpr float kMax = std::numeric_limits<float>::max();
    constexpr float kDenormal = std::numeric_limits<float>::denorm_min();
    Values row(9000, -kMax);
    for (std::size_t i = 0; i < row.size(); i += 100) {
        row[i] = std::array{0.0F, -0.0F, kDenormal, -kDenormal, kMax, 1e-30F, -1e30F}[i / 100 % 7];
    }
    check_row(selector, row);
    row[8999] = kInf;
    CHECK_EQ(selector.largest(row, 40).front().token, 8999);
    CHECK(pairs(selector.largest(row, 40)) == largest_by_sorting(row, 40));
}

TEST("where nothing can be taken, nothing is found") {
    CandidateSelector selector;
    for (const std::size_t size : {0U, 1U, 64U, 5000U}) {
        for (const float nothing : {-kInf, kNan}) {
            const Values row(size, nothing);
            CHECK(selector.largest(row, 40).empty());
            CHECK(selector.near_largest(row, -3.0F).empty());
        }
    }
    CHECK(selector.largest(Values{1.0F, 2.0F}, 0).empty());
}
