#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "logits.h"

#include "core/sampler.h"

using namespace llamad;

namespace {

using Tokens = std::vector<TokenId>;

TokenId argmax_naively(const std::vector<float> &logits, const Tokens &forbidden) {
    TokenId best = -1;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        const auto token = static_cast<TokenId>(i);
        const float lowest = best < 0 ? -kInf : logits[static_cast<std::size_t>(best)];
        if (std::ranges::find(forbidden, token) == forbidden.end() && logits[i] > lowest) {
            best = token;
        }
    }
    return best;
}

TokenId argmax_except(std::vector<float> logits, const Tokens &forbidden) {
    return llamad::argmax_except(std::span(logits), forbidden);
}

// Takes the second token, and throws from the second time on.
class SecondToken final : public SamplerChain {
  public:
    TokenId sample(LogitRow /*logits*/) override {
        if (n_taken++ > 0) {
            throw std::runtime_error("dead end");
        }
        return 1;
    }
    int n_taken = 0;
};

// To the bit: NaN too.
bool same_bits(const std::vector<float> &a, const std::vector<float> &b) {
    return std::ranges::equal(
        a, b, {}, [](float x) { return std::bit_cast<std::uint32_t>(x); },
        [](float x) { return std::bit_cast<std::uint32_t>(x); });
}

} // namespace

TEST("argmax finds the largest logit at every place and size") {
    for (const std::size_t size : {4095U, 4096U, 4097U, 10'000U}) {
        std::vector<float> logits(size, -5.0F);
        for (const std::size_t at : {std::size_t{0}, std::size_t{4095} % size, size / 2, size - 1}) {
            logits[at] = -1.0F;
            CHECK_EQ(argmax(logits), at);
            logits[at] = -5.0F;
        }
    }
    for (std::size_t size = 1; size < 200; ++size) {
        std::vector<float> logits(size, -5.0F);
        for (std::size_t i = 0; i < size; ++i) {
            logits[i] = -1.0F;
            CHECK_EQ(argmax(logits), i);
            logits[i] = -5.0F;
        }
    }
}

TEST("argmax takes the lowest token on a tie") {
    std::vector<float> logits(300, 1.0F);
    CHECK_EQ(argmax(logits), 0);
    for (const auto &[first, second] :
         {std::pair<std::size_t, std::size_t>{63, 64}, {5, 299}, {70, 134}, {257, 258}}) {
        logits.assign(300, 0.0F);
        logits[first] = logits[second] = 2.0F;
        CHECK_EQ(argmax(logits), first);
    }
    CHECK_EQ(argmax(std::vector{-0.0F, 0.0F}), 0);
}

TEST("argmax passes over NaN") {
    for (const std::size_t at : {0U, 1U, 63U, 64U, 127U, 128U, 130U}) {
        std::vector<float> logits(131, -3.0F);
        logits[at] = kNan;
        logits[65] = 4.0F;
        CHECK_EQ(argmax(logits), 65);
    }
    std::vector<float> logits(131, kNan);
    logits[77] = -1e30F;
    CHECK_EQ(argmax(logits), 77);
}

TEST("argmax is -1 where no token can be taken") {
    CHECK_EQ(argmax({}), -1);
    for (const std::size_t size : {1U, 63U, 64U, 65U, 200U}) {
        CHECK_EQ(argmax(std::vector<float>(size, -kInf)), -1);
        CHECK_EQ(argmax(std::vector<float>(size, kNan)), -1);
    }
    CHECK_EQ(argmax(std::vector{-kInf, kInf}), 1);
}

TEST("argmax_except agrees with its definition") {
    std::mt19937 random(4711);
    for (int round = 0; round < 5000; ++round) {
        std::vector<float> logits = awkward_row(random, random() % 200);
        Tokens forbidden(random() % 12);
        for (TokenId &token : forbidden) {
            token = static_cast<TokenId>(random() % 210) - 5; // some are not in the vocabulary
        }
        CHECK_EQ(argmax(logits), argmax_naively(logits, {}));
        const std::vector<float> before = logits;
        CHECK_EQ(llamad::argmax_except(std::span(logits), forbidden), argmax_naively(logits, forbidden));
        CHECK(same_bits(logits, before));
    }
}

TEST("argmax_except is -1 where every token is forbidden") {
    CHECK_EQ(argmax_except(std::vector{1.0F, 2.0F}, Tokens{1, 0}), -1);
    CHECK_EQ(argmax_except(std::vector{1.0F, -kInf}, Tokens{0}), -1);
}

TEST("without a chain the sampler takes the likeliest token that is allowed") {
    std::vector<float> logits{1.0F, 3.0F, 2.0F};
    CHECK_EQ(Sampler(nullptr, {}).pick(logits).token, 1);
    CHECK_EQ(Sampler(nullptr, {1, 1}).pick(logits).token, 2);
    CHECK_EQ(logits, std::vector{1.0F, 3.0F, 2.0F});
    CHECK_THROWS(std::runtime_error, Sampler(nullptr, {0, 1, 2}).pick(logits));
}

TEST("logits without a usable number throw") {
    std::vector<float> logits(10, kNan);
    CHECK_THROWS(std::runtime_error, Sampler(nullptr, {}).pick(logits));
    CHECK_THROWS(std::runtime_error, Sampler(nullptr, {}).pick(std::span<float>()));
}

TEST("a chain decides, and its exceptions pass") {
    std::vector<float> logits{1.0F, 3.0F, 2.0F};
    auto chain = std::make_unique<SecondToken>();
    const SecondToken &seen = *chain;
    Sampler sampler(std::move(chain), {1}); // the ban is the chain's business
    CHECK_EQ(sampler.pick(logits).token, 1);
    CHECK_THROWS(std::runtime_error, sampler.pick(logits));
    CHECK_EQ(seen.n_taken, 2);
}

TEST("logprobs are the model's own, and only there when asked for") {
    std::vector<float> logits{1.0F, 3.0F, 2.0F, -kInf};
    CHECK(!Sampler(nullptr, {}).pick(logits).logprobs.has_value());
    const auto none_beside = Sampler(nullptr, {}, 0).pick(logits).logprobs;
    REQUIRE(none_beside.has_value());
    CHECK(none_beside->top.empty());
    const auto logprobs = Sampler(nullptr, {1}, 20).pick(logits).logprobs; // the ban changes nothing in them
    REQUIRE(logprobs.has_value());
    CHECK_EQ(logprobs->token, 2);
    REQUIRE(logprobs->top.size() == 3);
    CHECK_EQ(logprobs->top[0].first, 1);
    CHECK_EQ(logprobs->top[1].second, logprobs->logprob);
    const auto chained = Sampler(std::make_unique<SecondToken>(), {}, 1).pick(logits).logprobs;
    REQUIRE(chained.has_value());
    CHECK_EQ(chained->token, 1);
    CHECK_EQ(chained->logprob, logprobs->top[0].second);
}
