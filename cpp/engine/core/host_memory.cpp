#include "core/host_memory.h"

#include <algorithm>
#include <cstdlib> // defines __GLIBC__ where it is
#include <filesystem>
#include <fstream>
#include <optional>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace llamad {

namespace {

namespace fs = std::filesystem;

// What a version of cgroups calls things, in a group's directory.
struct Names {
    const char *limit;
    const char *used;
    const char *reclaimable; // in memory.stat
};

constexpr Names kVersion1{
    .limit = "memory.limit_in_bytes", .used = "memory.usage_in_bytes", .reclaimable = "total_inactive_file"};
constexpr Names kVersion2{.limit = "memory.max", .used = "memory.current", .reclaimable = "inactive_file"};

// The number at the beginning of a file, or after a word in it; none where there is no such thing.
std::optional<std::uint64_t> number_in(const fs::path &path, const std::string &after = {}) {
    std::ifstream file(path);
    std::string word;
    while (!after.empty() && file >> word && word != after) {
    }
    std::uint64_t number = 0;
    return file >> number ? std::optional(number) : std::nullopt;
}

// Every group counts what the groups in it use, so a file that nobody uses can be dropped for any of them.
void limit_to(HostMemory &memory, const fs::path &group, const Names &names) {
    const auto limit = number_in(group / names.limit); // version 2 says "max" where there is none
    const auto used = number_in(group / names.used);
    if (!limit || !used) {
        return;
    }
    const std::uint64_t reclaimable = number_in(group / "memory.stat", names.reclaimable).value_or(0);
    const std::uint64_t in_use = *used - std::min(*used, reclaimable);
    memory.total = std::min(memory.total, *limit);
    memory.free = std::min(memory.free, *limit - std::min(*limit, in_use));
}

// The group and all that it is in, up to the mount point. A container may see its group's path but only the
// group itself, mounted where the root would be.
void limit_to_all(HostMemory &memory, const fs::path &mount, const std::string &path, const Names &names) {
    fs::path group = fs::path(path).relative_path();
    while (!group.empty()) {
        limit_to(memory, mount / group, names);
        group = group.parent_path();
    }
    limit_to(memory, mount, names);
}

// A line of /proc/self/cgroup is "number:controllers:path"; version 2 has the number 0 and no controllers.
void limit_to_cgroups(HostMemory &memory, const fs::path &root) {
    std::ifstream file(root / "proc/self/cgroup");
    const fs::path mount = root / "sys/fs/cgroup";
    for (std::string line; std::getline(file, line);) {
        const std::size_t begin = line.find(':');
        const std::size_t end = line.find(':', begin + 1);
        if (end == std::string::npos) {
            continue;
        }
        const std::string controllers = ',' + line.substr(begin + 1, end - begin - 1) + ',';
        const std::string path = line.substr(end + 1);
        if (controllers == ",,") {
            limit_to_all(memory, mount, path, kVersion2);
        } else if (controllers.find(",memory,") != std::string::npos) {
            limit_to_all(memory, mount / "memory", path, kVersion1);
        }
    }
}

} // namespace

HostMemory host_memory(const std::string &root) {
    const fs::path base = root.empty() ? fs::path("/") : fs::path(root);
    const fs::path meminfo = base / "proc/meminfo";
    HostMemory memory{.total = number_in(meminfo, "MemTotal:").value_or(0) * 1024,
                      .free = number_in(meminfo, "MemAvailable:").value_or(0) * 1024};
    limit_to_cgroups(memory, base);
    return memory;
}

void give_back_freed_memory() {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

} // namespace llamad
