#include "check.h"

#include "core/prefill_budget.h"

using namespace llamad;

namespace {

constexpr double kTarget = 0.1;
constexpr std::int32_t kMost = 512;

} // namespace

TEST("nothing is known at first: the least") {
    CHECK_EQ(PrefillBudget(kTarget, kMost).tokens(1, 1), PrefillBudget::kLeast);
    CHECK_EQ(PrefillBudget(kTarget, 8).tokens(1, 1), 8); // but never more than allowed
}

TEST("the chunk fills the target") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(100, 0.1); // 1 ms a token
    CHECK_EQ(budget.tokens(1, 1), 100);
}

TEST("decoding takes its part of the target") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(200, 0.2);
    budget.observe_decode(8, 0.04);
    CHECK_EQ(budget.tokens(1, 1), 60);
}

TEST("the more prompts wait for each stream, the longer the chunk") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(100, 0.1);
    CHECK_EQ(budget.tokens(7, 1), 100);
    CHECK_EQ(budget.tokens(4, 4), 100);
    CHECK_EQ(budget.tokens(2, 6), 300);
    CHECK_EQ(budget.tokens(1, 7), kMost);
}

TEST("a target out of reach leaves the least, a fast machine gets the most") {
    PrefillBudget slow(kTarget, kMost);
    slow.observe_prefill(20, 1.0);
    slow.observe_decode(1, 0.5);
    CHECK_EQ(slow.tokens(1, 1), PrefillBudget::kLeast);
    PrefillBudget fast(kTarget, kMost);
    fast.observe_prefill(512, 0.005);
    CHECK_EQ(fast.tokens(1, 1), kMost);
}

TEST("empty and tiny batches teach nothing") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(100, 0.1);
    budget.observe_prefill(0, 5.0);
    budget.observe_prefill(1, 0.02); // the last token of a cached prompt: as slow as sixteen
    budget.observe_decode(0, 5.0);
    CHECK_EQ(budget.tokens(1, 1), 100);
}

TEST("one odd step moves the estimate a little, many move it all the way") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(100, 0.1);
    budget.observe_prefill(100, 0.2);
    CHECK(budget.tokens(1, 1) > 70);
    CHECK(budget.tokens(1, 1) < 100);
    for (int i = 0; i < 50; ++i) {
        budget.observe_prefill(100, 0.2);
    }
    CHECK(budget.tokens(1, 1) >= 49);
    CHECK(budget.tokens(1, 1) <= 50);
}
