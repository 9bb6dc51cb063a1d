#include <atomic>
#include <string>
#include <thread>

#include "check.h"

#include "core/thread_name.h"
#include "profiler/threads.h"

using namespace llamad;

namespace {

// How many threads of this process have the name.
int count(const std::string &name) {
    int n = 0;
    for (const int id : thread_ids()) {
        n += thread_name(id) == name ? 1 : 0;
    }
    return n;
}

TEST("a thread has its name before it has run") {
    for (int i = 0; i < 200; ++i) { // most of them have not, so soon
        // A name of its own each time: the system may list a thread for a moment after it was joined.
        const std::string name = "named " + std::to_string(i);
        std::atomic<bool> stop{false};
        std::thread thread = start_thread(name.c_str(), [&] { stop.wait(false); });
        CHECK_EQ(count(name), 1);
        stop = true;
        stop.notify_one();
        thread.join();
    }
}

TEST("a thread that a named one starts at once has the name too") {
    for (int i = 0; i < 200; ++i) {
        const std::string name = "parent " + std::to_string(i);
        int n = 0;
        start_thread(name.c_str(), [&] { std::thread([&] { n = count(name); }).join(); }).join();
        CHECK_EQ(n, 2);
    }
}

} // namespace
