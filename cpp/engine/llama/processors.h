// How many compute threads make sense.
#pragma once

#include <algorithm>
#include <cstdint>
#include <thread>

#include <sched.h>

namespace llamad {

// The processors that this process may run on: fewer than the machine's under taskset or in a cpuset.
inline std::int32_t available_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return std::max(1, CPU_COUNT(&set));
    }
    return std::max(1, static_cast<std::int32_t>(std::thread::hardware_concurrency()));
}

} // namespace llamad
