// The engine: one thread that batches every request continuously.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/event_queue.h"
#include "core/mailbox.h"
#include "core/metrics.h"
#include "core/model_runner.h"
#include "core/prefill_budget.h"
#include "core/scheduler.h"

namespace llamad {

struct EngineLimits {
    std::int32_t itl_target_ms = 500; // see EngineConfig
    std::int32_t max_queue = 256;
};

// Runs requests on a ModelRunner and reports through an EventQueue.
//
// Every request that submit() accepted ends in exactly one event with an End, whatever happens to it:
// it finishes, is cancelled in any state, fails, or the engine is closed under it.
//
// Threading: the public methods may be called from any thread and do not wait for the engine thread,
// but close() and the destructor, which join it. The engine thread alone touches the scheduler and
// the runner; it takes no lock but the mailbox's and the event queue's, each for a few moves, and it
// knows nothing of Python.
class Engine {
  public:
    Engine(std::unique_ptr<ModelRunner> runner, EngineLimits limits);
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;
    ~Engine() { close(); }

    // Throws QueueFullError or EngineClosedError; the request is untouched then.
    RequestId submit(std::unique_ptr<Request> &request) { return mailbox_.submit(request); }

    // Takes effect at the next step; without effect on a request that has ended or never was.
    void cancel(RequestId id) { mailbox_.cancel(id); }

    // Ends every request with ErrorKind::kEngineClosed, stops the thread and frees the runner.
    // Idempotent; a second caller waits for the first.
    void close();

    EventQueue &events() { return events_; }
    const Metrics &metrics() const { return metrics_; }

  private:
    void loop();
    void step();

    void open_mail(bool wait);
    void place_waiting();
    double timed_run(std::span<const Row> rows);
    void run(std::span<const Row> rows);
    void sample(std::span<const Row> rows);
    void make_room(std::span<const Row> rows);
    void isolate_failure(std::span<const Row> rows);
    bool evict_idle();

    void cancel_now(RequestId id);
    void finish(Slot &slot, FinishReason reason, ErrorKind error = ErrorKind::kNone,
                std::string message = {});
    void fail(Slot &slot, const std::string &message);
    void finish_waiting(std::unique_ptr<Request> request, FinishReason reason, ErrorKind error,
                        std::string message);
    void end_request(Event event);
    void abandon_all();
    void deliver();

    std::unique_ptr<ModelRunner> runner_;
    Scheduler scheduler_;
    PrefillBudget prefill_budget_;
    Mailbox mailbox_;
    EventQueue events_;
    Metrics metrics_;
    std::vector<Event> outbox_; // events of the current step
    bool closed_ = false;       // engine thread only
    std::once_flag close_once_;
    std::thread thread_; // last: it uses everything above
};

} // namespace llamad
