#include "embed/embed_engine.h"

#include <exception>
#include <new>
#include <numeric>
#include <sstream>
#include <utility>

#include "core/thread_name.h"

namespace llamad {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kForever = std::chrono::hours(24);

} // namespace

EmbedEngine::EmbedEngine(std::unique_ptr<EmbeddingRunner> runner, EmbedEngineLimits limits)
    : limits_(limits), runner_(std::move(runner)), inbox_(static_cast<std::size_t>(limits.max_queue)),
      scheduler_(runner_->limits()), thread_(start_thread("llamad-embed", [this] { loop(); })) {}

void EmbedEngine::close() {
    std::call_once(close_once_, [this] {
        inbox_.close();
        runner_->request_abort();
        thread_.join();
        runner_.reset();
    });
}

void EmbedEngine::loop() {
    try {
        bool rested = true;
        while (true) {
            const bool was_busy = scheduler_.n_jobs() > 0;
            open_mail(was_busy ? milliseconds::zero() : rested ? kForever : kRestAfter);
            if (closed_) {
                break;
            }
            if (scheduler_.n_jobs() > 0) {
                rested = false;
            } else if (!rested && !was_busy) {
                runner_->rest();
                rested = true;
            }
            metrics_.heartbeat.beat();
            step();
        }
    } catch (const std::exception &failure) { // out of memory, say: better closed than dead
        inbox_.close();
        open_mail(milliseconds::zero());
        return abandon_all(std::string("the engine failed: ") + failure.what());
    }
    abandon_all("the engine was closed before the request had finished");
}

void EmbedEngine::step() {
    end_overdue();
    deliver(); // who was cancelled need not wait for the others' batch
    const std::vector<Piece> pieces = scheduler_.plan();
    if (!pieces.empty()) {
        const TimePoint begin = Clock::now();
        const auto add_tokens = [](std::size_t n, const Piece &piece) { return n + piece.tokens.size(); };
        const std::size_t n_tokens =
            std::accumulate(pieces.begin(), pieces.end(), std::size_t{0}, add_tokens);
        metrics_.batch_rows.observe(static_cast<double>(n_tokens));
        run(pieces);
        metrics_.step_s.observe(seconds_between(begin, Clock::now()));
    }
    deliver();
}

void EmbedEngine::open_mail(milliseconds patience) {
    Delivery<EmbedJob> mail = inbox_.take(patience);
    closed_ = mail.closed;
    for (std::unique_ptr<EmbedJob> &job : mail.requests) {
        admit(std::move(job));
    }
    for (const RequestId id : mail.cancellations) {
        finish(scheduler_.end(id, FinishReason::kCancelled));
    }
}

// The values of a large job may be more than there is memory for: it ends, and those beside it go on.
void EmbedEngine::admit(std::unique_ptr<EmbedJob> job) {
    const RequestId id = job->id;
    const std::size_t n_inputs = job->inputs.size();
    try {
        scheduler_.admit(std::move(job));
    } catch (const std::bad_alloc &) {
        EmbedEnd end;
        end.id = id;
        end.reason = FinishReason::kError;
        end.error = ErrorKind::kGenerationFailed;
        end.error_message =
            "there is no memory for what would come of " + std::to_string(n_inputs) + " inputs";
        finish(std::move(end));
    }
}

void EmbedEngine::end_overdue() {
    const TimePoint now = Clock::now();
    while (limits_.request_timeout_s > 0 && scheduler_.n_jobs() > 0) {
        const RequestId oldest = scheduler_.oldest();
        if (seconds_between(scheduler_.submitted_at(oldest), now) < limits_.request_timeout_s) {
            return;
        }
        std::ostringstream message;
        message << "the request did not finish within " << limits_.request_timeout_s << " s";
        Metrics::add(metrics_.timeouts, 1);
        finish(scheduler_.end(oldest, FinishReason::kError, ErrorKind::kTimeout, message.str()));
    }
}

void EmbedEngine::run(std::span<const Piece> pieces) {
    Metrics::add(metrics_.encode_calls, 1);
    const EncodeStatus status = runner_->encode(pieces);
    metrics_.heartbeat.beat();
    switch (status) {
    case EncodeStatus::kOk:
        break;
    case EncodeStatus::kAborted: // close() is on its way: abandon_all() ends everybody
        return;
    case EncodeStatus::kFailed:
        return isolate_failure(pieces);
    }
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        Metrics::add(metrics_.tokens, pieces[i].tokens.size());
        if (scheduler_.is_due(pieces[i])) {
            Metrics::add(metrics_.inputs, scheduler_.is_last(pieces[i]) ? 1 : 0);
            finish(scheduler_.complete(pieces[i], runner_->pooled(i)));
        }
    }
}

// llama.cpp does not say which input is to blame: compute each alone. Who fails alone is the culprit.
void EmbedEngine::isolate_failure(std::span<const Piece> pieces) {
    if (pieces.size() == 1) {
        return finish(
            scheduler_.end(pieces.front().job, FinishReason::kError, ErrorKind::kGenerationFailed,
                           "the model could not compute input " + std::to_string(pieces.front().input)));
    }
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        if (scheduler_.is_due(pieces[i])) {
            run(pieces.subspan(i, 1));
        }
    }
}

void EmbedEngine::finish(std::optional<EmbedEnd> end) {
    if (end) {
        Metrics::add(metrics_.finished[static_cast<std::size_t>(end->reason)], 1);
        if (end->reason == FinishReason::kStop) {
            metrics_.queue_s.observe(end->queue_s);
            metrics_.e2e_s.observe(end->queue_s + end->compute_s);
        }
        outbox_.push_back(std::move(*end));
        inbox_.release();
    }
}

void EmbedEngine::abandon_all(const std::string &message) {
    while (scheduler_.n_jobs() > 0) {
        finish(scheduler_.end(scheduler_.oldest(), FinishReason::kError, ErrorKind::kEngineClosed, message));
    }
    deliver();
}

// The gauges first: who has seen a job's end must not find it running.
void EmbedEngine::deliver() {
    const std::size_t n_started = scheduler_.n_started();
    metrics_.running.store(static_cast<std::int32_t>(n_started), std::memory_order_relaxed);
    metrics_.waiting.store(static_cast<std::int32_t>(scheduler_.n_jobs() - n_started),
                           std::memory_order_relaxed);
    events_.publish(outbox_);
}

} // namespace llamad
