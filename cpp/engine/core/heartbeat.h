// Whether an engine's thread gets on with its work.
#pragma once

#include <algorithm>
#include <atomic>
#include <optional>

#include "core/types.h"

namespace llamad {

// Threading: beat() belongs to the engine thread; anyone may ask.
class Heartbeat {
  public:
    // The thread has got something done.
    void beat() { last_.store(Clock::now(), std::memory_order_relaxed); }

    // Seconds without a beat while there is work. `busy_since`: when that came in; nothing: there is none.
    double silent_s(const std::optional<TimePoint> &busy_since) const {
        if (!busy_since) {
            return 0;
        }
        const TimePoint from = std::max(*busy_since, last_.load(std::memory_order_relaxed));
        return std::max(0.0, seconds_between(from, Clock::now()));
    }

  private:
    std::atomic<TimePoint> last_{TimePoint{}};
};

} // namespace llamad
