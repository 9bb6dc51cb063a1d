// Events out of the engine: one of the two places in it with a lock.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/logprobs.h"
#include "core/types.h"

namespace llamad {

// How a request ended. Every accepted request gets exactly one.
struct End {
    FinishReason reason = FinishReason::kStop;
    std::string stop_string; // the stop string that matched, if one did
    Usage usage;
    Timings timings;
    ErrorKind error = ErrorKind::kNone;
    std::string error_message; // not empty exactly where reason is kError
};

// Something that happened to a request.
struct Event {
    RequestId id = 0;
    std::string text;                    // whole UTF-8 characters
    std::vector<TokenId> tokens;         // sampled since the request's last event
    std::vector<TokenLogprobs> logprobs; // one per token where the request asks for them, else empty
    std::unique_ptr<End> end;            // set on the last event of a request
};

// Threading: publish() belongs to the engine thread and never waits for a consumer; drain(), wait()
// and fd() may be called from any thread.
class EventQueue {
  public:
    EventQueue(); // throws std::system_error where the system has no descriptor left
    EventQueue(const EventQueue &) = delete;
    EventQueue &operator=(const EventQueue &) = delete;
    ~EventQueue();

    // Moves the events of one step into the queue and empties `events`. The descriptor becomes
    // readable once per drain, however many steps come in between: a wake-up costs the consumer
    // a trip through its event loop.
    void publish(std::vector<Event> &events);

    // Takes everything there is, events of one request joined into one, in order of first event.
    std::vector<Event> drain();

    // Waits until there is something to drain. False: the time ran out, or a signal came.
    bool wait(std::chrono::milliseconds timeout) const;

    // Makes wait() return, and the descriptor readable, though there may be nothing to drain.
    void wake() const;

    // Readable while there is something to drain (an eventfd, for an event loop's reader).
    int fd() const { return fd_; }

  private:
    std::mutex mutex_;
    std::vector<Event> queue_;
    int fd_;
};

} // namespace llamad
