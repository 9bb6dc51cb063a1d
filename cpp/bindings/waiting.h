// Waits for an engine's events.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace llamad {

// To be called without the GIL. False: the time ran out, or a signal came.
template <typename Native> bool wait(Native &native, double timeout_s) {
    // poll() counts milliseconds in an int; an hour is as good as for ever, NaN is no time.
    const double bounded_s = timeout_s > 0 ? std::min(timeout_s, 3600.0) : 0;
    return native.events().wait(std::chrono::milliseconds(static_cast<std::int64_t>(bounded_s * 1000)));
}

} // namespace llamad
