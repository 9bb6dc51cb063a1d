#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "check.h"

#include "core/host_memory.h"

using namespace llamad;

namespace {

namespace fs = std::filesystem;

// A file system of a few files, gone with the object.
class Root {
  public:
    Root() : path_(fs::temp_directory_path() / ("llamad-memory-" + std::to_string(::getpid()))) {
        write("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  600 kB\n");
    }
    Root(const Root &) = delete;
    Root &operator=(const Root &) = delete;
    ~Root() { fs::remove_all(path_); }

    void write(const std::string &name, const std::string &text) const {
        const fs::path path = path_ / name;
        fs::create_directories(path.parent_path());
        std::ofstream(path) << text;
    }

    // A group of version 2; numbers in kB.
    void group(const std::string &name, const std::string &limit, int used, int inactive) const {
        const std::string folder = "sys/fs/cgroup/" + name;
        write(folder + "/memory.max", limit == "max" ? "max\n" : limit + "\n");
        write(folder + "/memory.current", std::to_string(used * 1024) + "\n");
        write(folder + "/memory.stat",
              "anon 5\ninactive_file " + std::to_string(inactive * 1024) + "\nactive_file 9\n");
    }

    void check(std::uint64_t total_kb, std::uint64_t free_kb) const {
        const HostMemory memory = host_memory(path_.string());
        CHECK_EQ(memory.total, total_kb * 1024);
        CHECK_EQ(memory.free, free_kb * 1024);
    }

  private:
    fs::path path_;
};

} // namespace

TEST("without groups it is the machine's") {
    const Root root;
    root.check(1000, 600);
    root.write("proc/self/cgroup", "nonsense\n0::/a/b\n");
    root.check(1000, 600);
}

TEST("the smallest of the groups that are around the process counts") {
    const Root root;
    root.write("proc/self/cgroup", "0::/slice/service\n");
    root.group("slice", "409600", 300, 100);
    root.group("slice/service", "max", 50, 0);
    root.check(400, 200);
    root.group("slice/service", "204800", 50, 20);
    root.check(200, 170);
    root.group("slice/other", "1024", 1, 0);
    root.check(200, 170);
}

TEST("what is free is free in every group") {
    const Root root;
    root.write("proc/self/cgroup", "0::/slice/service\n");
    root.group("slice", "512000", 490, 0);
    root.group("slice/service", "204800", 50, 0);
    root.check(200, 10);
    root.group("slice", "512000", 600, 0);
    root.check(200, 0);
}

TEST("a container that sees its own group as the root") {
    const Root root;
    root.write("proc/self/cgroup", "0::/docker/0123\n");
    root.group(".", "307200", 30, 10);
    root.check(300, 280);
}

TEST("a limit beyond the machine's memory is none") {
    const Root root;
    root.write("proc/self/cgroup", "0::/a\n");
    root.group("a", "9223372036854771712", 30, 10);
    root.check(1000, 600);
}

TEST("groups of version 1") {
    const Root root;
    root.write("proc/self/cgroup", "3:cpuset:/\n4:cpu,memory:/a\n0::/\n");
    const std::string folder = "sys/fs/cgroup/memory/a/";
    root.write(folder + "memory.limit_in_bytes", "512000\n");
    root.write(folder + "memory.usage_in_bytes", "204800\n");
    root.write(folder + "memory.stat", "inactive_file 7\ntotal_inactive_file 102400\n");
    root.check(500, 400);
}
