#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "check.h"
#include "logits.h"
#include "some_logits.h"

#include "core/sampler.h"
#include "core/top_k.h"

using namespace llamad;

namespace {

struct Undemanding final : SamplerChain {
    TokenId sample(LogitRow /*logits*/) override { return kUndecided; }
    bool needs_all_logits() const override { return false; }
};

std::vector<std::pair<TokenId, float>> pairs(std::span<const Candidate> candidates) {
    std::vector<std::pair<TokenId, float>> result;
    for (const Candidate &candidate : candidates) {
        result.emplace_back(candidate.token, candidate.logit);
    }
    return result;
}

} // namespace

TEST("tokens and their logits are found in all of a row and in some of it") {
    std::mt19937 random(1);
    for (const std::size_t size : {64U, 1000U, 4095U, 4096U}) {
        std::vector<float> logits = normal_row(random, size);
        const LogitRow all(logits);
        SomeLogits picked(random, logits, 7, 1);
        const LogitRow some = picked.row();
        CHECK(all.has_all());
        CHECK(!some.has_all());
        std::set<TokenId> among;
        for (std::size_t i = 0; i < some.values().size(); ++i) {
            const TokenId token = some.token(i);
            CHECK_EQ(some.values()[i], logits[static_cast<std::size_t>(token)]);
            CHECK(some.find(token) == &some.values()[i]);
            among.insert(token);
        }
        CHECK_EQ(among.size(), some.values().size());
        for (TokenId token = 0; std::cmp_less(token, size); ++token) {
            CHECK(all.find(token) == &logits[static_cast<std::size_t>(token)]);
            CHECK_EQ(some.find(token) != nullptr, among.contains(token));
            CHECK(some.find(token) != nullptr || !(logits[static_cast<std::size_t>(token)] > some.bound()));
        }
        for (const TokenId outside : {TokenId{-1}, static_cast<TokenId>(size), TokenId{1 << 30}}) {
            CHECK(all.find(outside) == nullptr);
            CHECK(some.find(outside) == nullptr);
        }
    }
}

TEST("the likeliest token of some is that of all, or undecided") {
    std::mt19937 random(2);
    int n_undecided = 0;
    for (int round = 0; round < 500; ++round) {
        const std::size_t size = 300 + random() % 3000;
        const bool awkward = random() % 2 == 0;
        std::vector<float> logits = awkward ? awkward_row(random, size) : normal_row(random, size);
        std::vector<TokenId> forbidden(random() % 5);
        for (TokenId &token : forbidden) {
            token = static_cast<TokenId>(random() % size);
        }
        forbidden.push_back(argmax(logits));
        SomeLogits picked(random, logits, 1 + random() % 9);
        const std::vector<float> before = picked.values();
        const TokenId token = argmax_except(picked.row(), forbidden);
        if (token == kUndecided) {
            ++n_undecided;
        } else {
            CHECK_EQ(token, argmax_except(logits, forbidden));
        }
        CHECK(awkward || picked.values() == before);
    }
    CHECK(n_undecided > 0);
    CHECK(n_undecided < 400);
}

TEST("of no usable logits, some are undecided and all are an error") {
    std::vector<float> logits(400, -kInf);
    std::mt19937 random(3);
    SomeLogits picked(random, logits, 3);
    CHECK_EQ(Sampler(nullptr, {}).pick(picked.row()).token, kUndecided);
    CHECK_THROWS(std::runtime_error, Sampler(nullptr, {}).pick(logits));
}

TEST("the k likeliest of some have their ids and the order of all, ties included") {
    std::mt19937 random(4);
    CandidateSelector of_some;
    CandidateSelector of_all;
    for (int round = 0; round < 200; ++round) {
        const std::vector<float> logits =
            round % 2 == 0 ? awkward_row(random, 2000) : normal_row(random, 2000);
        const std::size_t n_groups = logits.size() / LogitRow::kGroup;
        SomeLogits every(random, logits, n_groups); // in another order
        const LogitRow row = every.row();
        for (const std::size_t k : {1U, 40U, 63U, 3000U}) {
            CHECK(pairs(of_some.largest(row.values(), k, row.groups())) == pairs(of_all.largest(logits, k)));
        }
        for (const float margin : {0.0F, -1.5F, -20.0F}) {
            CHECK(pairs(of_some.near_largest(row.values(), margin, row.groups())) ==
                  pairs(of_all.near_largest(logits, margin)));
        }
    }
}

TEST("who needs all logits: log-probabilities, and whatever a chain says") {
    CHECK(!Sampler(nullptr, {1, 2}).needs_all_logits());
    CHECK(Sampler(nullptr, {}, 0).needs_all_logits());
    CHECK(!Sampler(std::make_unique<Undemanding>(), {}).needs_all_logits());
    CHECK(Sampler(std::make_unique<Undemanding>(), {}, 3).needs_all_logits());
}
