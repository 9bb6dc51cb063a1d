// The embedding engine: one thread that batches the inputs of all callers.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/inbox.h"
#include "core/metrics.h"
#include "core/outbox.h"
#include "embed/embed_job.h"
#include "embed/embed_scheduler.h"
#include "embed/embedding_runner.h"

namespace llamad {

// See EmbedderConfig.
struct EmbedEngineLimits {
    std::int32_t max_queue = 256;
    double request_timeout_s = 0; // 0: none
};

// Counters of one embedding engine: written by its thread, read by anyone without stopping it.
struct EmbedMetrics {
    Metrics::Counter inputs{0};                 // vectors or scores computed
    Metrics::Counter tokens{0};                 // tokens of batches that were computed
    Metrics::Counter encode_calls{0};           // calls of EmbeddingRunner::encode
    Metrics::Counter timeouts{0};               // jobs that did not end in time
    std::array<Metrics::Counter, 4> finished{}; // jobs ended, by FinishReason
    std::atomic<std::int32_t> running{0};       // jobs of which an input has been in a batch
    std::atomic<std::int32_t> waiting{0};       // the other jobs

    Histogram queue_s{bounds::kRequest}; // submitted -> first input in a batch, of jobs that were completed
    Histogram e2e_s{bounds::kRequest};   // all of it, of these
    Histogram step_s{bounds::kStep};     // turns of the loop that computed something
    Histogram batch_rows{bounds::kRows}; // tokens planned for one call of the model

    Heartbeat heartbeat;
};

// Runs jobs on an EmbeddingRunner and reports through an Outbox.
//
// Every job that submit() accepted ends in exactly one EmbedEnd, whatever happens to it: it finishes, is
// cancelled, runs out of time, fails, or the engine is closed under it.
//
// Threading: the public methods may be called from any thread and do not wait for the engine thread, but
// close() and the destructor, which join it. The engine thread alone touches the scheduler and the runner; it
// takes no lock but the inbox's and the outbox's, each for a few moves, and it knows nothing of Python.
class EmbedEngine {
  public:
    EmbedEngine(std::unique_ptr<EmbeddingRunner> runner, EmbedEngineLimits limits);
    EmbedEngine(const EmbedEngine &) = delete;
    EmbedEngine &operator=(const EmbedEngine &) = delete;
    ~EmbedEngine() { close(); }

    // Returns the job's id. Throws QueueFullError or EngineClosedError; the job is untouched then.
    RequestId submit(std::unique_ptr<EmbedJob> &job) { return inbox_.accept(std::span(&job, 1)); }

    // Takes effect with the next batch; without effect on a job that has ended or never was.
    void cancel(RequestId id) { inbox_.cancel(id); }

    // Ends every job with ErrorKind::kEngineClosed, stops the thread and frees the runner. Idempotent; a
    // second caller waits for the first.
    void close();

    Outbox<EmbedEnd> &events() { return events_; }
    const EmbedMetrics &metrics() const { return metrics_; }

    // Requests that found the queue full, and seconds without progress while there is work; without a lock.
    std::uint64_t n_rejected() const { return inbox_.n_rejected(); }
    double silent_s() const { return metrics_.heartbeat.silent_s(inbox_.busy_since()); }

  private:
    void loop();
    void step();
    void open_mail(std::chrono::milliseconds patience);
    void admit(std::unique_ptr<EmbedJob> job);
    void end_overdue();
    void run(std::span<const Piece> pieces);
    void isolate_failure(std::span<const Piece> pieces);
    void finish(std::optional<EmbedEnd> end);
    void abandon_all(const std::string &message);
    void deliver();

    const EmbedEngineLimits limits_;
    std::unique_ptr<EmbeddingRunner> runner_;
    Inbox<EmbedJob> inbox_;
    EmbedScheduler scheduler_;
    Outbox<EmbedEnd> events_;
    EmbedMetrics metrics_;
    std::vector<EmbedEnd> outbox_; // ends of the current step
    bool closed_ = false;          // engine thread only
    std::once_flag close_once_;
    std::thread thread_; // last: it uses everything above
};

} // namespace llamad
