// What the engine does when the model cannot compute, or a request may not go on.
#include <algorithm>
#include <new>
#include <sstream>
#include <utility>

#include "core/engine.h"

namespace llamad {

// There may be no memory for it: it ends, and those of the same mail go on.
void Engine::admit(std::unique_ptr<Request> request) {
    const RequestId id = request->id;
    const std::size_t n_prompt = request->prompt.size();
    try {
        scheduler_.admit(std::move(request));
    } catch (const std::bad_alloc &) {
        auto end = std::make_unique<End>();
        end->reason = FinishReason::kError;
        end->usage.prompt_tokens = static_cast<std::int32_t>(n_prompt);
        end->error = ErrorKind::kGenerationFailed;
        end->error_message = "there is no memory for a request of " + std::to_string(n_prompt) + " tokens";
        end_request({.id = id, .text = {}, .tokens = {}, .logprobs = {}, .end = std::move(end)});
    }
}

// No KV cells for these rows:
//  1. empty an idle slot, and try again;
//  2. else, in a unified cache, send the youngest request back to the queue, and try again;
//  3. else compute the rows in two halves;
//  4. else, at one row, fail the largest sequence. Its neighbours go on.
void Engine::make_room(std::span<const Row> rows) {
    if (Slot *idle = scheduler_.stalest()) {
        mover_.evict(*idle);
        return run(rows);
    }
    Slot *youngest = runner_->limits().unified ? scheduler_.youngest() : nullptr;
    if (youngest != nullptr) {
        Metrics::add(metrics_.preemptions, 1);
        collect(youngest->sequence());
        scheduler_.preempt(*youngest);
        mover_.evict(*youngest);
        return run(scheduler_.still_due(rows));
    }
    if (rows.size() > 1) {
        const std::size_t half = rows.size() / 2;
        run(rows.first(half));
        return run(scheduler_.still_due(rows.subspan(half)));
    }
    fail(*scheduler_.largest(), "the KV cache is full and this was the longest request");
    run(scheduler_.still_due(rows));
}

// Something in the batch cannot be computed, and llama.cpp does not say which row: roll every slot
// back and compute each alone. Who fails alone is the culprit.
void Engine::isolate_failure(std::span<const Row> rows) {
    const Batch batch(rows.begin(), rows.end());
    const bool alone = batch.front().slot == batch.back().slot;
    // All first: making room for one may save what another holds.
    for (const Row &row : batch) {
        Slot &slot = scheduler_.slot(row.slot);
        const bool first = !slot.idle() && row.pos == static_cast<Pos>(slot.cached().size());
        if (first && (!runner_->trim(slot.id(), row.pos) || alone)) {
            fail(slot, "the model could not compute this request's tokens");
        }
    }
    for (auto begin = batch.begin(); begin != batch.end();) {
        const auto end =
            std::find_if(begin, batch.end(), [&](const Row &row) { return row.slot != begin->slot; });
        run(scheduler_.still_due(std::span(begin, end)));
        begin = end;
    }
}

// Some of the rows may have been written: what the slots hold may yet be saved, and must be what it says.
void Engine::roll_back(std::span<const Row> rows) {
    for (const Row &row : rows) {
        Slot &slot = scheduler_.slot(row.slot);
        const bool first = row.pos == static_cast<Pos>(slot.cached().size());
        if (first && !runner_->trim(slot.id(), row.pos)) {
            mover_.clear(slot);
        }
    }
}

// Ends a running request whose stream may hold anything.
void Engine::fail(Slot &slot, const std::string &message) {
    mover_.clear(slot);
    finish(slot, FinishReason::kError, ErrorKind::kGenerationFailed, message);
}

void Engine::end_overdue() {
    const TimePoint now = Clock::now();
    std::vector<std::pair<RequestId, Overdue>> waiting;
    for (const std::unique_ptr<Sequence> &sequence : scheduler_.waiting().all()) {
        if (const std::optional<Overdue> limit = overdue(*sequence, now)) {
            waiting.emplace_back(sequence->id(), *limit);
        }
    }
    for (const auto &[id, limit] : waiting) {
        time_out(*scheduler_.waiting().take(id), limit);
    }
    for (Slot &slot : scheduler_.slots()) {
        const std::optional<Overdue> limit = slot.idle() ? std::nullopt : overdue(slot.sequence(), now);
        if (limit) {
            time_out(*slot.release(), *limit);
        }
    }
}

// The limit that a request has reached: its own, then the one of all requests, then the one of the queue.
std::optional<Engine::Overdue> Engine::overdue(const Sequence &sequence, TimePoint now) const {
    const double age_s = seconds_between(sequence.submitted_at(), now);
    const auto reached = [age_s](double limit_s) { return limit_s > 0 && age_s >= limit_s; };
    const double own_s = sequence.timeout_s().value_or(0);
    if (reached(own_s) || reached(limits_.request_timeout_s)) {
        return Overdue{ErrorKind::kTimeout, reached(own_s) ? own_s : limits_.request_timeout_s};
    }
    if (!sequence.any_started() && reached(limits_.queue_timeout_s)) {
        return Overdue{ErrorKind::kQueueTimeout, limits_.queue_timeout_s};
    }
    return std::nullopt;
}

void Engine::time_out(Sequence &sequence, const Overdue &limit) {
    std::ostringstream message;
    if (limit.kind == ErrorKind::kTimeout) {
        Metrics::add(metrics_.timeouts, 1);
        message << "the request did not finish within " << limit.limit_s << " s";
    } else {
        Metrics::add(metrics_.queue_timeouts, 1);
        message << "no slot became free within " << limit.limit_s << " s; try again later";
    }
    end_sequence(sequence, FinishReason::kError, limit.kind, message.str());
}

} // namespace llamad
