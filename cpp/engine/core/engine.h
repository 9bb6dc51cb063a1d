// The engine: one thread that batches every request continuously.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/event_queue.h"
#include "core/host_store.h"
#include "core/kv_mover.h"
#include "core/mailbox.h"
#include "core/metrics.h"
#include "core/model_runner.h"
#include "core/prefill_budget.h"
#include "core/scheduler.h"
#include "core/slot_watch.h"

namespace llamad {

// See EngineConfig.
struct EngineLimits {
    std::int32_t itl_target_ms = 90;
    std::int32_t max_queue = 256;
    double queue_timeout_s = 0;   // 0: none
    double request_timeout_s = 0; // 0: none
};

// Makes the store of KV states that have left their slots; `wake` may be called from any thread when a state
// that was fetched is there.
using MakeStore = std::function<std::unique_ptr<HostStore>(std::function<void()> wake)>;

// Runs requests on a ModelRunner and reports through an EventQueue.
//
// Every request that submit() accepted ends in exactly one event with an End, whatever happens to it:
// it finishes, is cancelled in any state, runs out of time, fails, or the engine is closed under it.
//
// Threading: the public methods may be called from any thread and do not wait for the engine thread,
// but close() and the destructor, which join it. The engine thread alone touches the scheduler and
// the runner; it takes no lock but the mailbox's and the event queue's, each for a few moves, and it
// knows nothing of Python.
class Engine {
  public:
    // `make_store` null: what leaves a slot is gone.
    Engine(std::unique_ptr<ModelRunner> runner, EngineLimits limits, const MakeStore &make_store = nullptr);
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;
    ~Engine() { close(); }

    // Accepts all or none; the ids are consecutive from the one returned.
    // Throws QueueFullError or EngineClosedError; the requests are untouched then.
    RequestId submit(std::span<std::unique_ptr<Request>> requests) { return mailbox_.submit(requests); }

    // Takes effect at the next step; without effect on a request that has ended or never was.
    void cancel(RequestId id) { mailbox_.cancel(id); }

    // Ends every request with ErrorKind::kEngineClosed, stops the thread and frees runner and store.
    // Idempotent; a second caller waits for the first.
    void close();

    EventQueue &events() { return events_; }
    const Metrics &metrics() const { return metrics_; }

    // What slots are doing, requests that found the queue full, seconds without progress while there is work,
    // and tokens that the KV cache has room for. None takes a lock.
    std::vector<SlotView> slots() const { return slot_watch_.read(); }
    std::uint64_t n_rejected() const { return mailbox_.n_rejected(); }
    double silent_s() const { return metrics_.heartbeat.silent_s(mailbox_.busy_since()); }
    std::uint64_t n_kv_cells() const;

  private:
    struct Overdue {
        ErrorKind kind;
        double limit_s;
    };

    void loop();
    bool step();

    // Between steps.
    void open_mail(std::chrono::milliseconds patience);
    void admit(std::unique_ptr<Request> request);
    void cancel_now(RequestId id);
    void end_overdue();
    std::optional<Overdue> overdue(const Sequence &sequence, TimePoint now) const;
    void place_waiting();

    // One call of the model, and what follows from it.
    double timed_run(std::span<const Row> rows, Histogram &n_rows);
    void compute_prompts(std::span<const Row> rows);
    void run(std::span<const Row> rows);
    void advance(std::span<const Row> rows);
    void sample(std::span<const Row> rows);
    SampleTask task_for(const Row &row, std::size_t index);
    void take_token(Slot &slot, SampleTask &task);
    void make_room(std::span<const Row> rows);
    void isolate_failure(std::span<const Row> rows);
    void roll_back(std::span<const Row> rows);

    // The end of a request.
    void finish(Slot &slot, FinishReason reason, ErrorKind error = ErrorKind::kNone,
                std::string message = {});
    void fail(Slot &slot, const std::string &message);
    void end_sequence(Sequence &sequence, FinishReason reason, ErrorKind error = ErrorKind::kNone,
                      std::string message = {});
    void end_request(Event last);
    void time_out(Sequence &sequence, const Overdue &limit);
    void abandon_all(const std::string &message);
    void check_integrity() const noexcept;
    void collect(Sequence &sequence);
    void deliver();

    // What others see of it.
    void publish_gauges();
    void record_start(const Sequence &sequence, std::size_t n_cached);
    void record_token(const Sequence &sequence, TimePoint previous);
    void record_end(const End &end);

    const EngineLimits limits_;
    std::unique_ptr<ModelRunner> runner_;
    const RunnerLimits limits_of_runner_; // they are asked for when it is gone
    Mailbox mailbox_;
    Scheduler scheduler_;
    PrefillBudget prefill_budget_;
    EventQueue events_;
    Metrics metrics_;
    SlotWatch slot_watch_;
    KvMover mover_;
    std::vector<SampleTask> tasks_; // scratch of sample()
    std::vector<Event> outbox_;     // events of the current step
    bool closed_ = false;           // engine thread only
    std::once_flag close_once_;
    std::thread thread_; // last: it uses everything above
};

} // namespace llamad
