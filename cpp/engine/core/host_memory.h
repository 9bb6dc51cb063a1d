// The machine's memory: what this process may use of it, and what it need not keep.
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

// Lets the C library return to the system what nobody uses any more; takes some milliseconds. glibc alone
// needs to be told: it keeps the buffers of models that are gone, by and by up to 32 MiB in each of its
// arenas. After a hundred requests of twenty clients for six models of 41 MiB, two of them loaded at a time,
// 188 MiB were resident once all were unloaded, and with this 70; the server had begun with 57.
void give_back_freed_memory();

} // namespace llamad
