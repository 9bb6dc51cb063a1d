#include "core/engine.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace llamad {

Engine::Engine(std::unique_ptr<ModelRunner> runner, EngineLimits limits)
    : runner_(std::move(runner)), scheduler_(runner_->limits()),
      prefill_budget_(limits.itl_target_ms / 1000.0, runner_->limits().n_ubatch),
      mailbox_(static_cast<std::size_t>(runner_->limits().n_slots) +
               static_cast<std::size_t>(limits.max_queue)),
      thread_([this] { loop(); }) {}

void Engine::close() {
    std::call_once(close_once_, [this] {
        mailbox_.close();
        runner_->request_abort();
        thread_.join();
        runner_.reset();
    });
}

void Engine::loop() {
    try {
        while (true) {
            open_mail(/*wait=*/!scheduler_.has_work());
            if (closed_) {
                break;
            }
            step();
        }
    } catch (const std::exception &) { // out of memory, say: better closed than dead
        mailbox_.close();
        open_mail(/*wait=*/false);
    }
    abandon_all();
}

// Decode rows and prompt tokens go to the model in two calls, and the new tokens leave in between:
// llama.cpp computes a mixed batch of separate KV streams in parts anyway, and running requests
// should not wait for somebody's prompt.
void Engine::step() {
    Metrics::add(metrics_.steps, 1);
    place_waiting();
    const Batch decode = scheduler_.plan_decode();
    prefill_budget_.observe_decode(decode.size(), timed_run(decode));
    deliver();
    const Batch prefill =
        scheduler_.plan_prefill(prefill_budget_.tokens(scheduler_.n_decoding(), scheduler_.n_prefilling()));
    prefill_budget_.observe_prefill(prefill.size(), timed_run(prefill));
    deliver();
}

void Engine::open_mail(bool wait) {
    Mail mail = mailbox_.take(wait);
    closed_ = mail.closed;
    for (std::unique_ptr<Request> &request : mail.requests) {
        scheduler_.waiting().push(std::move(request));
    }
    for (const RequestId id : mail.cancellations) {
        cancel_now(id);
    }
}

void Engine::place_waiting() {
    while (const std::optional<Placement> placement = scheduler_.next_placement()) {
        std::size_t n_kept = placement->n_kept;
        const bool drops_some = n_kept < scheduler_.slot(placement->slot).cached().size();
        if (drops_some && !runner_->trim(placement->slot, static_cast<Pos>(n_kept))) {
            runner_->trim(placement->slot, 0);
            n_kept = 0;
        }
        const Sequence &sequence = scheduler_.place(placement->slot, n_kept);
        Metrics::add(metrics_.prompt_tokens, static_cast<std::uint64_t>(sequence.n_prompt()));
        Metrics::add(metrics_.cached_tokens, n_kept);
    }
}

// Returns the seconds it took.
double Engine::timed_run(std::span<const Row> rows) {
    const TimePoint begin = Clock::now();
    run(rows);
    return seconds_between(begin, Clock::now());
}

void Engine::run(std::span<const Row> rows) {
    if (rows.empty()) {
        return;
    }
    Metrics::add(metrics_.decode_calls, 1);
    switch (runner_->decode(rows)) {
    case DecodeStatus::kOk:
        return sample(rows);
    case DecodeStatus::kNoRoom:
        return make_room(rows);
    case DecodeStatus::kFailed:
        return isolate_failure(rows);
    case DecodeStatus::kAborted:
        return; // close() is on its way: abandon_all() ends everybody
    }
}

void Engine::sample(std::span<const Row> rows) {
    for (const Row &row : rows) {
        Slot &slot = scheduler_.slot(row.slot);
        Metrics::add(metrics_.prefilled_tokens, slot.prefilling() ? 1 : 0);
        slot.advance(1);
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (!rows[i].wants_logits) {
            continue;
        }
        Slot &slot = scheduler_.slot(rows[i].slot);
        Sequence &sequence = slot.sequence();
        std::optional<FinishReason> reason;
        ErrorKind error = ErrorKind::kNone;
        std::string message;
        try {
            reason = sequence.append(sequence.sample(*runner_, i), *runner_);
            Metrics::add(metrics_.generated_tokens, 1);
        } catch (const std::exception &failure) {
            reason = FinishReason::kError;
            error = ErrorKind::kGenerationFailed;
            message = std::string("sampling failed: ") + failure.what();
        }
        if (reason) {
            finish(slot, *reason, error, std::move(message));
        } else if (std::optional<Event> delta = sequence.take_delta()) {
            outbox_.push_back(std::move(*delta));
        }
    }
}

// No KV cells for these rows:
//  1. forget what an idle slot holds, and try again;
//  2. else compute the rows in two halves;
//  3. else, at one row, fail the largest sequence. Its neighbours go on.
void Engine::make_room(std::span<const Row> rows) {
    if (evict_idle()) {
        return run(rows);
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
    for (auto begin = batch.begin(); begin != batch.end();) {
        const SlotId id = begin->slot;
        const auto end = std::find_if(begin, batch.end(), [id](const Row &row) { return row.slot != id; });
        Slot &slot = scheduler_.slot(id);
        const bool restored = runner_->trim(id, static_cast<Pos>(slot.cached().size()));
        if (alone || !restored) {
            fail(slot, "the model could not compute this request's tokens");
        } else {
            // Making room for an earlier slot may have ended this one's request.
            run(scheduler_.still_due(std::span(begin, end)));
        }
        begin = end;
    }
}

bool Engine::evict_idle() {
    Slot *slot = scheduler_.stalest();
    if (slot == nullptr) {
        return false;
    }
    runner_->trim(slot->id(), 0);
    slot->forget();
    return true;
}

void Engine::cancel_now(RequestId id) {
    if (std::unique_ptr<Request> request = scheduler_.waiting().remove(id)) {
        finish_waiting(std::move(request), FinishReason::kCancelled, ErrorKind::kNone, {});
        return;
    }
    for (Slot &slot : scheduler_.slots()) {
        if (!slot.idle() && slot.sequence().id() == id) {
            finish(slot, FinishReason::kCancelled);
            return;
        }
    }
}

void Engine::finish(Slot &slot, FinishReason reason, ErrorKind error, std::string message) {
    end_request(slot.release()->finish(reason, error, std::move(message)));
}

// Ends a running request whose stream may hold anything.
void Engine::fail(Slot &slot, const std::string &message) {
    runner_->trim(slot.id(), 0);
    slot.forget();
    finish(slot, FinishReason::kError, ErrorKind::kGenerationFailed, message);
}

void Engine::finish_waiting(std::unique_ptr<Request> request, FinishReason reason, ErrorKind error,
                            std::string message) {
    end_request(finish_unstarted(*request, reason, error, std::move(message)));
}

void Engine::end_request(Event event) {
    Metrics::add(metrics_.finished[static_cast<std::size_t>(event.end->reason)], 1);
    outbox_.push_back(std::move(event));
    mailbox_.release();
}

void Engine::abandon_all() {
    const std::string message = "the engine was closed before the request had finished";
    for (Slot &slot : scheduler_.slots()) {
        if (!slot.idle()) {
            finish(slot, FinishReason::kError, ErrorKind::kEngineClosed, message);
        }
    }
    while (!scheduler_.waiting().empty()) {
        finish_waiting(scheduler_.waiting().pop(), FinishReason::kError, ErrorKind::kEngineClosed, message);
    }
    deliver();
}

// The gauges first: who has seen a request's end must not find it running.
void Engine::deliver() {
    const std::vector<Slot> &slots = scheduler_.slots();
    const auto running = std::count_if(slots.begin(), slots.end(), [](const Slot &s) { return !s.idle(); });
    metrics_.running.store(static_cast<std::int32_t>(running), std::memory_order_relaxed);
    metrics_.waiting.store(static_cast<std::int32_t>(scheduler_.waiting().size()), std::memory_order_relaxed);
    events_.publish(outbox_);
}

} // namespace llamad
