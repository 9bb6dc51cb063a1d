#include "check.h"

#include "core/prefill_budget.h"

using namespace llamad;

namespace {

constexpr double kTarget = 0.1;
constexpr std::int32_t kMost = 512;

} // namespace

TEST("nothing is known at first: the least") {
    CHECK_EQ(PrefillBudget(kTarget, kMost).tokens(1, 1, true), PrefillBudget::kLeast);
    CHECK_EQ(PrefillBudget(kTarget, 4).tokens(1, 1, true), 4); // but never more than allowed
}

TEST("a chunk is the largest power of two that fits into the target") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(100, 0.1); // 1 ms a token
    CHECK_EQ(budget.tokens(1, 1, true), 64);
}

TEST("the limit is a size as well, power of two or not") {
    PrefillBudget budget(kTarget, 90);
    budget.observe_prefill(90, 0.09);
    CHECK_EQ(budget.tokens(1, 1, true), 90);
}

TEST("decoding takes its part of the target") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(200, 0.2);
    budget.observe_decode(8, 0.04);
    CHECK_EQ(budget.tokens(1, 1, true), 32);
}

TEST("where more prompts wait than streams run, the chunk may take up to twice as long") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(128, 0.128);
    CHECK_EQ(budget.tokens(7, 1, true), 64);
    CHECK_EQ(budget.tokens(4, 4, true), 64);
    CHECK_EQ(budget.tokens(4, 6, true), 128);
    CHECK_EQ(budget.tokens(1, 7, true), 128);
}

TEST("where nobody sees tokens come, it may take longer still") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(128, 0.128);
    CHECK_EQ(budget.tokens(7, 1, false), 256);
    CHECK_EQ(budget.tokens(1, 7, false), 256);
}

TEST("each size has its own speed: a larger chunk may fit where a smaller one does not") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(32, 0.11);
    budget.observe_prefill(64, 0.09);
    CHECK_EQ(budget.tokens(1, 1, true), 64);
}

TEST(
    "an unknown size is thought as fast as the next larger one that is known, else as the next smaller one") {
    PrefillBudget above(kTarget, kMost);
    above.observe_prefill(512, 0.512);
    CHECK_EQ(above.tokens(1, 1, true), 64);
    PrefillBudget below(kTarget, kMost);
    below.observe_prefill(8, 0.008);
    CHECK_EQ(below.tokens(1, 1, true), 64);
}

TEST("a size that was slow once is tried again some day") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(64, 1.0); // something got in the way
    budget.observe_prefill(32, 0.05);
    CHECK_EQ(budget.tokens(1, 1, true), 32);
    for (int i = 0; i < 500; ++i) {
        budget.observe_prefill(32, 0.05);
    }
    CHECK_EQ(budget.tokens(1, 1, true), 64);
}

TEST("but none that would take far longer than the target, however often a small one was computed") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(512, 1.28); // 2.5 ms a token, as for the others
    for (int i = 0; i < 5000; ++i) {
        CHECK(budget.tokens(1, 1, true) <= 64);
        budget.observe_prefill(32, 0.08);
    }
    CHECK_EQ(budget.tokens(1, 1, true), 64); // 160 ms, once
    budget.observe_prefill(64, 0.16);
    CHECK_EQ(budget.tokens(1, 1, true), 32);
}

TEST("a target out of reach leaves the least, a fast machine gets the most") {
    PrefillBudget slow(kTarget, kMost);
    slow.observe_prefill(20, 1.0);
    slow.observe_decode(1, 0.5);
    CHECK_EQ(slow.tokens(1, 1, true), PrefillBudget::kLeast);
    PrefillBudget fast(kTarget, kMost);
    fast.observe_prefill(512, 0.005);
    CHECK_EQ(fast.tokens(1, 1, true), kMost);
}

TEST("empty and tiny batches teach nothing") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(100, 0.1);
    budget.observe_prefill(0, 5.0);
    budget.observe_prefill(1, 0.02); // the last token of a cached prompt: as slow as eight
    budget.observe_decode(0, 5.0);
    CHECK_EQ(budget.tokens(1, 1, true), 64);
}

TEST("one odd step moves the estimate a little, many move it all the way") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_prefill(64, 0.064);
    budget.observe_prefill(64, 0.2);
    CHECK_EQ(budget.tokens(1, 1, true), 64);
    for (int i = 0; i < 50; ++i) {
        budget.observe_prefill(64, 0.2);
    }
    CHECK_EQ(budget.tokens(1, 1, true), 32);
}

TEST("prompt tokens that nobody waited for take their part of the decode that was waited for") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_decode(8, 0.02);
    budget.observe_launch(64, 0.001);
    budget.observe_decode(8, 0.083); // 64 ms of it are the prompt's, with what launching took
    CHECK_EQ(budget.tokens(1, 1, true), 64);
    budget.observe_decode(8, 0.06); // and the decodes are as fast as ever
    CHECK_EQ(budget.tokens(1, 1, true), 64);
}

TEST("and of the end of their prompt, where that was waited for") {
    PrefillBudget budget(kTarget, kMost);
    budget.observe_launch(128, 0.001);
    budget.observe_launch(128, 0.099);
    budget.observe_prefill(44, 0.2); // 1 ms a token
    CHECK_EQ(budget.tokens(1, 1, true), 64);
}
