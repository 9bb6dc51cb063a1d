// Commands into the engine: one of the two places in it with a lock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/request.h"

namespace llamad {

struct Mail {
    std::vector<std::unique_ptr<Request>> requests; // in order of submission
    std::vector<RequestId> cancellations;           // may name requests that have ended
    bool closed = false;
};

// Bounded by what the engine has on its hands: requests count from submit() until their terminal
// event, so that the bound does not depend on how soon the engine thread looks in.
// Threading: submit(), cancel(), close() and poke() from any thread, never waiting; take() and release()
// from the engine thread.
class Mailbox {
  public:
    explicit Mailbox(std::size_t capacity) : capacity_(capacity) {}

    // Accepts all of the requests or none. Assigns consecutive ids, of which the first is returned, and the
    // time of submission. Throws QueueFullError, EngineClosedError, or ParameterError where there could never
    // be room for so many; the requests are untouched then.
    RequestId submit(std::span<std::unique_ptr<Request>> requests);

    void cancel(RequestId id);

    // Nothing is accepted any more. Idempotent.
    void close();

    // Makes a take() that waits return: there is something to do that is no mail.
    void poke();

    // Takes what has arrived. Waits for something to arrive, but no longer than `patience`.
    Mail take(std::chrono::milliseconds patience);

    // A request has ended: there is room for another.
    void release();

    std::size_t in_flight() const;

  private:
    const std::size_t capacity_;
    mutable std::mutex mutex_;
    std::condition_variable arrived_;
    Mail mail_;
    bool poked_ = false;
    std::size_t in_flight_ = 0;
    RequestId last_id_ = 0;
};

} // namespace llamad
