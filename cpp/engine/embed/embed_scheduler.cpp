#include "embed/embed_scheduler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace llamad {

namespace {

// Vectors are compared by angle, and most consumers expect length 1, as OpenAI's have.
void normalize(std::span<float> vector) {
    const double squares = std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0);
    if (squares > 0) {
        const auto scale = static_cast<float>(1 / std::sqrt(squares));
        std::ranges::for_each(vector, [scale](float &value) { value *= scale; });
    }
}

bool all_finite(std::span<const float> values) {
    return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

} // namespace

void EmbedScheduler::admit(std::unique_ptr<EmbedJob> job) {
    Work work;
    work.values.resize(job->inputs.size() * static_cast<std::size_t>(limits_.n_out));
    const RequestId id = job->id;
    work.job = std::move(job);
    jobs_.emplace(id, std::move(work));
}

std::vector<Piece> EmbedScheduler::plan() {
    if (!long_) {
        choose_long();
    }
    std::vector<Piece> batch;
    if (!long_ || long_ran_last_) {
        batch = gather();
    }
    long_ran_last_ = false;
    if (batch.empty() && long_) {
        batch.push_back(next_part(*long_));
        long_ran_last_ = true;
    }
    return batch;
}

// Goes round the jobs as long as any of them has an input that fits. Who gets nothing into this batch is
// first next time, and into an empty batch fits everything.
std::vector<Piece> EmbedScheduler::gather() {
    std::vector<Piece> batch;
    std::size_t n_tokens = 0;
    std::size_t n_placed = 0;
    RequestId passed_over = 0;
    const auto visit = [&](Jobs::value_type &entry) {
        const Work &work = entry.second;
        if (!has_more(work) || in_parts(work.job->inputs[work.n_planned])) {
            return;
        }
        if (place(entry, batch, n_tokens)) {
            ++n_placed;
        } else if (passed_over == 0) {
            passed_over = entry.first;
        }
    };
    const auto begin = jobs_.lower_bound(first_);
    const auto go_round = [&] {
        n_placed = 0;
        std::for_each(begin, jobs_.end(), visit);
        std::for_each(jobs_.begin(), begin, visit);
    };
    go_round();
    first_ = passed_over != 0 ? passed_over : batch.empty() ? first_ : batch.back().job + 1;
    while (n_placed > 0) {
        go_round();
    }
    return batch;
}

// Puts the job's next input into the batch. False: no room.
bool EmbedScheduler::place(Jobs::value_type &entry, std::vector<Piece> &batch, std::size_t &n_tokens) const {
    Work &work = entry.second;
    const std::vector<TokenId> &tokens = work.job->inputs[work.n_planned];
    if (!batch.empty() && (n_tokens + tokens.size() > static_cast<std::size_t>(limits_.n_batch) ||
                           batch.size() == static_cast<std::size_t>(limits_.n_seqs))) {
        return false;
    }
    batch.push_back(
        {.job = entry.first, .input = take_input(work), .tokens = tokens, .begin = 0, .whole = true});
    n_tokens += tokens.size();
    return true;
}

// The jobs whose next input is to be computed in parts take turns, too.
void EmbedScheduler::choose_long() {
    const auto is_next = [this](const Jobs::value_type &entry) {
        const Work &work = entry.second;
        return has_more(work) && in_parts(work.job->inputs[work.n_planned]);
    };
    const auto begin = jobs_.lower_bound(first_long_);
    auto chosen = std::find_if(begin, jobs_.end(), is_next);
    if (chosen == jobs_.end()) {
        chosen = std::find_if(jobs_.begin(), begin, is_next);
        if (chosen == begin) {
            return;
        }
    }
    first_long_ = chosen->first + 1;
    long_ = LongInput{.job = chosen->first, .input = take_input(chosen->second), .n_computed = 0};
}

bool EmbedScheduler::in_parts(const std::vector<TokenId> &tokens) const {
    return limits_.can_chunk && tokens.size() > static_cast<std::size_t>(limits_.n_batch);
}

std::size_t EmbedScheduler::take_input(Work &work) {
    if (work.n_planned == 0) {
        work.started_at = Clock::now();
    }
    return work.n_planned++;
}

Piece EmbedScheduler::next_part(const LongInput &input) const {
    const std::span<const TokenId> tokens = jobs_.at(input.job).job->inputs[input.input];
    const std::span<const TokenId> rest = tokens.subspan(input.n_computed);
    return {.job = input.job,
            .input = input.input,
            .tokens = rest.first(std::min(rest.size(), static_cast<std::size_t>(limits_.n_batch))),
            .begin = static_cast<Pos>(input.n_computed),
            .whole = false};
}

std::span<float> EmbedScheduler::values_of(Work &work, std::size_t input) const {
    const auto n_out = static_cast<std::size_t>(limits_.n_out);
    return std::span(work.values).subspan(input * n_out, n_out);
}

bool EmbedScheduler::is_last(const Piece &piece) const {
    const std::size_t n_tokens = jobs_.at(piece.job).job->inputs[piece.input].size();
    return static_cast<std::size_t>(piece.begin) + piece.tokens.size() == n_tokens;
}

// The mean of an input is that of its parts, weighted by their lengths; the first or last token, and with it
// the score of a causal model, is that of the first or last part.
void EmbedScheduler::add_part(std::span<float> sum, const Piece &piece, std::span<const float> pooled) const {
    switch (limits_.pooling) {
    case Pooling::kMean:
        for (std::size_t i = 0; i < sum.size(); ++i) {
            sum[i] += pooled[i] * static_cast<float>(piece.tokens.size());
        }
        break;
    case Pooling::kCls:
        if (piece.begin == 0) {
            std::ranges::copy(pooled, sum.begin());
        }
        break;
    case Pooling::kNone:
    case Pooling::kLast:
    case Pooling::kRank:
        std::ranges::copy(pooled, sum.begin());
        break;
    }
}

std::optional<EmbedEnd> EmbedScheduler::complete(const Piece &piece, std::span<const float> pooled) {
    Work &work = jobs_.at(piece.job);
    const std::span<float> values = values_of(work, piece.input);
    if (piece.whole) {
        std::ranges::copy(pooled, values.begin());
    } else if (long_) {
        add_part(values, piece, pooled);
        long_->n_computed += piece.tokens.size();
        if (!is_last(piece)) {
            return std::nullopt;
        }
        if (limits_.pooling == Pooling::kMean) {
            const auto n_tokens = static_cast<float>(work.job->inputs[piece.input].size());
            std::ranges::for_each(values, [n_tokens](float &value) { value /= n_tokens; });
        }
        long_.reset();
    }
    if (!all_finite(values)) {
        return end(piece.job, FinishReason::kError, ErrorKind::kGenerationFailed,
                   "the model computed values that are not finite numbers");
    }
    if (limits_.pooling != Pooling::kRank) {
        normalize(values);
    }
    work.job->n_done->store(++work.n_complete, std::memory_order_relaxed);
    if (work.n_complete < work.job->inputs.size()) {
        return std::nullopt;
    }
    return end(piece.job, FinishReason::kStop);
}

std::optional<EmbedEnd> EmbedScheduler::end(RequestId id, FinishReason reason, ErrorKind error,
                                            std::string message) {
    const auto found = jobs_.find(id);
    if (found == jobs_.end()) {
        return std::nullopt;
    }
    Work &work = found->second;
    const TimePoint now = Clock::now();
    const TimePoint started_at = work.n_planned == 0 ? now : work.started_at;
    EmbedEnd end{.id = id,
                 .reason = reason,
                 .n_out = static_cast<std::size_t>(limits_.n_out),
                 .values = {},
                 .error = error,
                 .error_message = std::move(message),
                 .queue_s = seconds_between(work.job->submitted_at, started_at),
                 .compute_s = seconds_between(started_at, now)};
    if (reason == FinishReason::kStop) {
        end.values = std::move(work.values);
    }
    if (long_ && long_->job == id) {
        long_.reset();
    }
    jobs_.erase(found);
    return end;
}

std::size_t EmbedScheduler::n_started() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(jobs_, [](const auto &entry) { return entry.second.n_planned > 0; }));
}

} // namespace llamad
