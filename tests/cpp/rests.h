// Waiting for engines that have nothing to do.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "check.h"
#include "gate.h"

#include "core/inbox.h"

namespace llamad {

// Long enough that an engine with nothing to do would let its runner rest several times, if it could.
inline void wait_a_while() { std::this_thread::sleep_for(4 * kRestAfter); }

inline void check_rests(const std::atomic<int> &rests, int count) {
    const TimePoint deadline = Clock::now() + kPatience;
    while (rests.load() < count && Clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK_EQ(rests.load(), count);
}

} // namespace llamad
