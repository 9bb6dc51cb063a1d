#include "core/engine.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/thread_name.h"

namespace llamad {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kForever = std::chrono::hours(24);
// All that wait do so for the disk, which pokes, or for nothing that is known: look again after this.
constexpr milliseconds kNap{20};

std::unique_ptr<HostStore> make(const MakeStore &make_store, Mailbox &mailbox) {
    return make_store ? make_store([&mailbox] { mailbox.poke(); })
                      : std::make_unique<HostStore>(HostStore::Limits{});
}

} // namespace

Engine::Engine(std::unique_ptr<ModelRunner> runner, EngineLimits limits, const MakeStore &make_store)
    : limits_(limits), runner_(std::move(runner)), limits_of_runner_(runner_->limits()),
      mailbox_(static_cast<std::size_t>(limits_of_runner_.n_slots) +
               static_cast<std::size_t>(limits.max_queue)),
      scheduler_(limits_of_runner_, make(make_store, mailbox_)),
      prefill_budget_(limits.itl_target_ms / 1000.0, limits_of_runner_.n_ubatch),
      slot_watch_(limits_of_runner_.n_slots), mover_(*runner_, scheduler_, metrics_),
      thread_(start_thread("llamad-engine", [this] { loop(); })) {}

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
        bool busy = false;
        bool rested = true;
        while (true) {
            open_mail(busy                    ? milliseconds::zero()
                      : scheduler_.has_work() ? kNap
                      : rested                ? kForever
                                              : kRestAfter);
            if (closed_) {
                break;
            }
            metrics_.heartbeat.beat();
            const bool was_busy = std::exchange(busy, step());
            if (busy) {
                rested = false;
                continue;
            }
            check_integrity();
            if (!rested && !was_busy && !scheduler_.has_work()) {
                runner_->rest();
                rested = true;
            }
        }
    } catch (const std::exception &failure) { // out of memory, say: better closed than dead
        mailbox_.close();
        open_mail(milliseconds::zero());
        return abandon_all(std::string("the engine failed: ") + failure.what());
    }
    abandon_all("the engine was closed before the request had finished");
}

// In idle time of debug builds. What it throws ends the process: a cache that is wrong must not go unnoticed.
void Engine::check_integrity() const noexcept {
#ifndef NDEBUG
    scheduler_.check_integrity();
#endif
}

// Decode rows and prompt tokens go to the model in two calls, and the new tokens leave in between:
// llama.cpp computes a mixed batch of separate KV streams in parts anyway, and running requests
// should not wait for somebody's prompt. What computes on its own is not kept waiting either: there the
// tokens leave in run(), once the next rows are on their way. Returns whether there was anything to compute.
bool Engine::step() {
    const TimePoint begin = Clock::now();
    Metrics::add(metrics_.steps, 1);
    end_overdue();
    place_waiting();
    const Batch decode = scheduler_.plan_decode();
    prefill_budget_.observe_decode(decode.size(), timed_run(decode, metrics_.decode_rows));
    if (!limits_of_runner_.decodes_async) {
        deliver();
    }
    const Batch prefill = scheduler_.plan_prefill(
        prefill_budget_.tokens(scheduler_.n_decoding(), scheduler_.n_prefilling(), scheduler_.any_streams()));
    compute_prompts(prefill);
    const bool busy = !decode.empty() || !prefill.empty();
    if (!limits_of_runner_.decodes_async || !busy) {
        deliver();
    }
    if (busy) {
        metrics_.step_s.observe(seconds_between(begin, Clock::now()));
    }
    return busy;
}

void Engine::open_mail(milliseconds patience) {
    Mail mail = mailbox_.take(patience);
    closed_ = mail.closed;
    for (std::unique_ptr<Request> &request : mail.requests) {
        admit(std::move(request));
    }
    for (const RequestId id : mail.cancellations) {
        cancel_now(id);
    }
    scheduler_.prefixes().store().check_in();
}

void Engine::cancel_now(RequestId id) {
    if (const std::unique_ptr<Sequence> sequence = scheduler_.waiting().take(id)) {
        end_sequence(*sequence, FinishReason::kCancelled);
        return;
    }
    for (Slot &slot : scheduler_.slots()) {
        if (!slot.idle() && slot.sequence().id() == id) {
            finish(slot, FinishReason::kCancelled);
            return;
        }
    }
}

void Engine::place_waiting() {
    while (const std::optional<Placement> placement = scheduler_.next_placement()) {
        if (limits_of_runner_.decodes_async) {
            deliver(); // moving states takes a while
        }
        const std::size_t n_cached = mover_.fill(*placement);
        const bool is_first_slot = scheduler_.place(*placement, n_cached);
        if (is_first_slot) {
            record_start(scheduler_.slot(placement->slot).sequence(), n_cached);
        }
    }
}

// Returns the seconds it took.
double Engine::timed_run(std::span<const Row> rows, Histogram &n_rows) {
    const TimePoint begin = Clock::now();
    if (!rows.empty()) {
        const auto counts = [&](const Row &row) { return !scheduler_.slot(row.slot).idle(); };
        n_rows.observe(static_cast<double>(std::ranges::count_if(rows, counts))); // what pads them does not
    }
    run(rows);
    return seconds_between(begin, Clock::now());
}

// Where nobody waits for them, their time is part of the next run's that somebody waits for.
void Engine::compute_prompts(std::span<const Row> rows) {
    const double seconds = timed_run(rows, metrics_.prefill_rows);
    const bool waited = !limits_of_runner_.decodes_async || std::ranges::any_of(rows, &Row::wants_logits);
    if (waited) {
        prefill_budget_.observe_prefill(rows.size(), seconds);
    } else {
        prefill_budget_.observe_launch(rows.size(), seconds);
    }
}

void Engine::run(std::span<const Row> rows) {
    if (rows.empty()) {
        return;
    }
    Metrics::add(metrics_.decode_calls, 1);
    const DecodeStatus status = runner_->decode(rows);
    metrics_.heartbeat.beat();
    if (status == DecodeStatus::kOk) {
        advance(rows);
        if (limits_of_runner_.decodes_async) {
            deliver(); // of the runs before, while this one is computed
        }
        return sample(rows);
    }
    mover_.drop_padding(rows);
    const Batch due = scheduler_.still_due(rows);
    if (status == DecodeStatus::kNoRoom) {
        return make_room(due);
    }
    if (status == DecodeStatus::kFailed) {
        return isolate_failure(due);
    }
    roll_back(due); // aborted: close() is on its way, and abandon_all() ends everybody
}

void Engine::advance(std::span<const Row> rows) {
    for (const Row &row : rows) {
        Slot &slot = scheduler_.slot(row.slot);
        if (slot.idle()) {
            mover_.add_padding(slot);
            continue;
        }
        Metrics::add(metrics_.prefilled_tokens, slot.prefilling() ? 1 : 0);
        slot.advance(1);
    }
}

void Engine::sample(std::span<const Row> rows) {
    tasks_.clear();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].wants_logits) {
            tasks_.push_back(task_for(rows[i], i));
        }
    }
    if (!tasks_.empty()) {
        runner_->sample(tasks_);
    }
    for (SampleTask &task : tasks_) {
        const Row &row = rows[task.row];
        Slot &slot = scheduler_.slot(row.slot);
        if (slot.idle()) {
            continue; // one of its rows before this one failed
        }
        if (!task.error.empty()) {
            finish(slot, FinishReason::kError, ErrorKind::kGenerationFailed,
                   "sampling failed: " + task.error);
            continue;
        }
        if (task.sampler != nullptr) {
            take_token(slot, task);
            continue;
        }
        if (task.logprobs) {
            slot.sequence().add_score(std::move(*task.logprobs));
        }
    }
}

SampleTask Engine::task_for(const Row &row, std::size_t index) {
    Sequence &sequence = scheduler_.slot(row.slot).sequence();
    const auto next = static_cast<std::size_t>(row.pos) + 1;
    SampleTask task;
    task.row = index;
    if (next < sequence.tokens().size()) {
        task.token = sequence.tokens()[next];
        task.n_logprobs = sequence.n_prompt_logprobs();
    } else {
        task.sampler = &sequence.sampler();
    }
    return task;
}

void Engine::take_token(Slot &slot, SampleTask &task) {
    Sequence &sequence = slot.sequence();
    if (sequence.only_scored()) {
        return finish(slot, FinishReason::kLength);
    }
    const TimePoint previous = sequence.last_token_at();
    const auto reason = sequence.append(task.token, std::move(task.logprobs), *runner_);
    sequence.charge(1);
    record_token(sequence, previous);
    if (reason) {
        finish(slot, *reason);
    }
}

} // namespace llamad
