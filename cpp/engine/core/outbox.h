// Events out of an engine's thread, to whoever drains them.
#pragma once

#include <chrono>
#include <iterator>
#include <mutex>
#include <utility>
#include <vector>

#include "core/wake_fd.h"

namespace llamad {

// Threading: publish() belongs to the engine thread and never waits for a consumer; everything else may be
// called from any thread.
template <typename Event> class Outbox {
  public:
    // Moves the events of one step into the outbox and empties `events`. The descriptor becomes readable once
    // per drain, however many steps come in between: a wake-up costs the consumer a trip through its event
    // loop.
    void publish(std::vector<Event> &events) {
        if (events.empty()) {
            return;
        }
        bool was_empty = false;
        {
            const std::lock_guard lock(mutex_);
            was_empty = queue_.empty();
            if (was_empty) {
                queue_.swap(events);
            } else {
                queue_.insert(queue_.end(), std::make_move_iterator(events.begin()),
                              std::make_move_iterator(events.end()));
            }
        }
        events.clear();
        if (was_empty) {
            wake();
        }
    }

    // Takes everything there is, in order.
    std::vector<Event> take_all() {
        // Clear the descriptor first: an event published in between then causes one wake-up too many, never
        // one too few.
        wake_fd_.clear();
        std::vector<Event> events;
        const std::lock_guard lock(mutex_);
        events.swap(queue_);
        return events;
    }

    // Waits until there is something to drain. False: the time ran out, or a signal came.
    bool wait(std::chrono::milliseconds timeout) const { return wake_fd_.wait(timeout); }

    // Makes wait() return, and the descriptor readable, though there may be nothing to drain.
    void wake() const { wake_fd_.wake(); }

    // Readable while there is something to drain (an eventfd, for an event loop's reader).
    int fd() const { return wake_fd_.get(); }

  private:
    std::mutex mutex_;
    std::vector<Event> queue_;
    WakeFd wake_fd_;
};

} // namespace llamad
