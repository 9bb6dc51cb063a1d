#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "check.h"
#include "embed_rig.h"

#include "embed/embed_scheduler.h"

using namespace llamad;

namespace {

constexpr EmbeddingLimits kLimits{
    .n_ctx = 64, .n_batch = 16, .n_seqs = 4, .n_out = 3, .can_chunk = true, .pooling = Pooling::kMean};

constexpr EmbeddingLimits with(Pooling pooling) {
    EmbeddingLimits limits = kLimits;
    limits.pooling = pooling;
    return limits;
}

std::vector<std::vector<TokenId>> inputs_of(const std::vector<std::size_t> &lengths) {
    std::vector<std::vector<TokenId>> inputs;
    inputs.reserve(lengths.size());
    for (const std::size_t length : lengths) {
        inputs.push_back(run_of(1, length));
    }
    return inputs;
}

void admit(EmbedScheduler &scheduler, RequestId id, const std::vector<std::size_t> &lengths) {
    std::unique_ptr<EmbedJob> job = make_job(inputs_of(lengths));
    job->id = id;
    job->submitted_at = Clock::now();
    scheduler.admit(std::move(job));
}

using Planned = std::vector<std::pair<RequestId, std::size_t>>; // job, tokens

Planned summary(const std::vector<Piece> &pieces) {
    Planned planned;
    for (const Piece &piece : pieces) {
        planned.emplace_back(piece.job, piece.tokens.size());
    }
    return planned;
}

// Plans, and takes the batch for computed.
Planned step(EmbedScheduler &scheduler) {
    const std::vector<Piece> pieces = scheduler.plan();
    const Planned planned = summary(pieces);
    for (const Piece &piece : pieces) {
        scheduler.complete(piece, pooled_of(piece.tokens));
    }
    return planned;
}

std::optional<EmbedEnd> run_to_end(EmbedScheduler &scheduler) {
    std::optional<EmbedEnd> end;
    while (!end) {
        const std::vector<Piece> pieces = scheduler.plan();
        REQUIRE(!pieces.empty());
        for (const Piece &piece : pieces) {
            end = scheduler.complete(piece, pooled_of(piece.tokens));
        }
    }
    return end;
}

} // namespace

TEST("nothing to do is an empty plan") {
    EmbedScheduler scheduler(kLimits);
    CHECK(scheduler.plan().empty());
    admit(scheduler, 1, {3});
    CHECK_EQ(step(scheduler), Planned{{1, 3}});
    CHECK(scheduler.plan().empty());
    CHECK_EQ(scheduler.n_jobs(), 0);
}

TEST("a batch takes as many inputs as fit by tokens") {
    EmbedScheduler scheduler(kLimits);
    admit(scheduler, 1, {6, 6, 6});
    CHECK_EQ(step(scheduler), Planned{{1, 6}, {1, 6}});
    CHECK_EQ(step(scheduler), Planned{{1, 6}});
}

TEST("a batch takes as many inputs as fit by number") {
    EmbedScheduler scheduler(kLimits);
    admit(scheduler, 1, {1, 1, 1, 1, 1});
    CHECK_EQ(step(scheduler).size(), 4);
    CHECK_EQ(step(scheduler).size(), 1);
}

TEST("jobs take turns, so a short job does not wait for a long one") {
    EmbedScheduler scheduler(kLimits);
    admit(scheduler, 1, std::vector<std::size_t>(100, 4));
    CHECK_EQ(step(scheduler), Planned{{1, 4}, {1, 4}, {1, 4}, {1, 4}});
    admit(scheduler, 2, {4});
    admit(scheduler, 3, {4, 4});
    CHECK_EQ(step(scheduler), Planned{{2, 4}, {3, 4}, {1, 4}, {3, 4}});
    CHECK_EQ(scheduler.n_jobs(), 1);
}

TEST("who did not fit is first in the next batch") {
    EmbedScheduler scheduler(kLimits);
    admit(scheduler, 1, {10, 1, 1, 1});
    admit(scheduler, 2, {10, 1});
    CHECK_EQ(step(scheduler), Planned{{1, 10}, {1, 1}, {1, 1}, {1, 1}});
    CHECK_EQ(step(scheduler), Planned{{2, 10}, {2, 1}});
}

TEST("small inputs of others cannot keep a large one waiting") {
    EmbedScheduler scheduler(kLimits);
    admit(scheduler, 1, std::vector<std::size_t>(50, 8));
    admit(scheduler, 2, {16});
    admit(scheduler, 3, std::vector<std::size_t>(50, 8));
    int n_batches = 0;
    while (scheduler.is_due({.job = 2, .input = 0, .tokens = {}, .begin = 0, .whole = true})) {
        step(scheduler);
        ++n_batches;
    }
    CHECK(n_batches <= 2);
}

TEST("a long input is computed in parts, in turns with the batches of the others") {
    EmbedScheduler scheduler(kLimits);
    admit(scheduler, 1, {40, 2});
    admit(scheduler, 2, {16, 16});
    CHECK_EQ(step(scheduler), Planned{{1, 16}});
    CHECK_EQ(step(scheduler), Planned{{1, 2}}); // room for that one only: job 2's fill a batch each
    CHECK_EQ(step(scheduler), Planned{{1, 16}});
    CHECK_EQ(step(scheduler), Planned{{2, 16}});
    CHECK_EQ(step(scheduler), Planned{{1, 8}});
    CHECK_EQ(step(scheduler), Planned{{2, 16}});
    CHECK_EQ(scheduler.n_jobs(), 0);
}

TEST("long inputs take turns between jobs") {
    EmbedScheduler scheduler(kLimits);
    admit(scheduler, 1, {20, 20});
    admit(scheduler, 2, {20});
    std::vector<RequestId> order;
    while (scheduler.n_jobs() > 0) {
        for (const auto &[job, n_tokens] : step(scheduler)) {
            order.push_back(job);
        }
    }
    CHECK_EQ(order, std::vector<RequestId>{1, 1, 2, 2, 1, 1});
}

TEST("where an input cannot be computed in parts it is alone in its batch") {
    EmbeddingLimits limits = kLimits;
    limits.can_chunk = false;
    EmbedScheduler scheduler(limits);
    admit(scheduler, 1, {2, 40, 2});
    CHECK_EQ(step(scheduler), Planned{{1, 2}});
    CHECK_EQ(step(scheduler), Planned{{1, 40}});
    CHECK_EQ(step(scheduler), Planned{{1, 2}});
}

TEST("parts are put together as the pooling says") {
    const auto values_of = [](Pooling pooling) {
        EmbedScheduler scheduler(with(pooling));
        admit(scheduler, 1, {40}); // 1 to 40 in parts of 16, 16, 8
        return run_to_end(scheduler)->values;
    };
    const auto unit = [](std::vector<float> values) {
        const double squares = std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
        for (float &value : values) {
            value /= static_cast<float>(std::sqrt(squares));
        }
        return values;
    };
    const auto near = [](const std::vector<float> &a, const std::vector<float> &b) {
        CHECK_EQ(a.size(), b.size());
        for (std::size_t i = 0; i < a.size(); ++i) {
            CHECK(std::abs(a[i] - b[i]) < 1e-5F);
        }
    };
    // The mean of all tokens, and of the parts' first and last ones by length.
    near(values_of(Pooling::kMean),
         unit({20.5F, (1 * 16 + 17 * 16 + 33 * 8) / 40.0F, (16 * 16 + 32 * 16 + 40 * 8) / 40.0F}));
    near(values_of(Pooling::kCls), unit(pooled_of(run_of(1, 16))));
    near(values_of(Pooling::kLast), unit(pooled_of(run_of(33, 8))));
    near(values_of(Pooling::kRank), pooled_of(run_of(33, 8))); // scores stay as they are
}

TEST("values that are not finite fail the job") {
    EmbedScheduler scheduler(kLimits);
    admit(scheduler, 1, {2, 2});
    admit(scheduler, 2, {2});
    const std::vector<Piece> pieces = scheduler.plan();
    REQUIRE(pieces.size() == 3);
    const std::vector<float> infinite(3, std::numeric_limits<float>::infinity());
    const std::optional<EmbedEnd> end = scheduler.complete(pieces[0], infinite);
    REQUIRE(end.has_value());
    CHECK_EQ(end->reason, FinishReason::kError);
    CHECK_EQ(end->error, ErrorKind::kGenerationFailed);
    CHECK(end->values.empty());
    CHECK(!scheduler.is_due(pieces[2]) || pieces[2].job == 2);
    CHECK_EQ(scheduler.n_jobs(), 1);
}

TEST("a vector of zeros stays one") {
    EmbedScheduler scheduler(kLimits);
    admit(scheduler, 1, {2});
    const std::vector<Piece> pieces = scheduler.plan();
    const std::vector<float> zeros(3, 0);
    const std::optional<EmbedEnd> end = scheduler.complete(pieces.at(0), zeros);
    REQUIRE(end.has_value());
    CHECK_EQ(end->values, zeros);
}

TEST("a job that ends in the middle of its long input makes room for the next") {
    EmbedScheduler scheduler(kLimits);
    admit(scheduler, 1, {40});
    admit(scheduler, 2, {20});
    CHECK_EQ(step(scheduler), Planned{{1, 16}});
    CHECK(scheduler.end(1, FinishReason::kCancelled).has_value());
    CHECK(!scheduler.end(1, FinishReason::kCancelled).has_value());
    CHECK_EQ(step(scheduler), Planned{{2, 16}});
    CHECK_EQ(step(scheduler), Planned{{2, 4}});
    CHECK_EQ(scheduler.n_jobs(), 0);
}

TEST("jobs count as started once an input of theirs is in a batch") {
    EmbedScheduler scheduler(kLimits);
    admit(scheduler, 1, {16, 16});
    admit(scheduler, 2, {16});
    CHECK_EQ(scheduler.n_started(), 0);
    step(scheduler);
    CHECK_EQ(scheduler.n_started(), 1);
    CHECK_EQ(scheduler.oldest(), 1);
}
