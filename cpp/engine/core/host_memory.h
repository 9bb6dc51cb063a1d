// The memory that this process may use beside what it uses already.
#pragma once

#include <cstdint>
#include <string>

namespace llamad {

struct HostMemory {
    std::uint64_t total = 0; // bytes of the machine, or of the smallest cgroup that this process is in
    std::uint64_t free = 0;  // of these, what is not in use; files that are only cached do not count as use
};

// Reads /proc and /sys/fs/cgroup, of version 1 or 2, below `root`. What is not there sets no limit. Linux
// only; a zero total elsewhere.
HostMemory host_memory(const std::string &root = {});

} // namespace llamad
