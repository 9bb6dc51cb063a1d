#include <algorithm>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "fake_runner.h"

#include "core/sampler.h"

using namespace llamad;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

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

// A runner that has just computed "a" in slot 0.
struct ReadyRunner {
    explicit ReadyRunner(bool logits_are_nan = false) {
        model.logits_are_nan = logits_are_nan;
        runner = model.runner();
        const Batch rows{{.token = 'a', .pos = 0, .slot = 0, .wants_logits = true}};
        CHECK_EQ(runner->decode(rows), DecodeStatus::kOk);
    }
    FakeModel model;
    std::unique_ptr<ModelRunner> runner;
    TokenId likeliest = babble(Tokens{'a'});
};

} // namespace

TEST("argmax finds the largest logit at every place and size") {
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
        std::vector<float> logits(random() % 200);
        for (float &logit : logits) { // few values, so that there are ties
            const auto kind = random() % 20;
            logit = kind == 0 ? kNan : kind == 1 ? -kInf : static_cast<float>(random() % 7);
        }
        Tokens forbidden(random() % 12);
        for (TokenId &token : forbidden) {
            token = static_cast<TokenId>(random() % 210) - 5; // some are not in the vocabulary
        }
        CHECK_EQ(argmax(logits), argmax_naively(logits, {}));
        CHECK_EQ(argmax_except(logits, forbidden), argmax_naively(logits, forbidden));
    }
}

TEST("argmax_except is -1 where every token is forbidden") {
    CHECK_EQ(argmax_except(std::vector{1.0F, 2.0F}, Tokens{1, 0}), -1);
    CHECK_EQ(argmax_except(std::vector{1.0F, -kInf}, Tokens{0}), -1);
}

TEST("without a chain the sampler takes the likeliest token that is allowed") {
    ReadyRunner ready;
    CHECK_EQ(Sampler(nullptr, {}).pick(*ready.runner, 0), ready.likeliest);
    CHECK_EQ(Sampler(nullptr, {ready.likeliest}).pick(*ready.runner, 0), '?');
}

TEST("logits without a usable number throw") {
    ReadyRunner ready(/*logits_are_nan=*/true);
    Sampler sampler(nullptr, {});
    CHECK_THROWS(std::runtime_error, sampler.pick(*ready.runner, 0));
}

TEST("a chain decides, and its exceptions pass") {
    ReadyRunner ready;
    auto chain = std::make_unique<FakeChain>(/*when=*/1);
    const FakeChain &seen = *chain;
    Sampler sampler(std::move(chain), {ready.likeliest}); // the ban is the chain's business
    CHECK_EQ(sampler.pick(*ready.runner, 0), ready.likeliest);
    CHECK_THROWS(std::runtime_error, sampler.pick(*ready.runner, 0));
    CHECK_EQ(seen.n_taken, 2);
}
