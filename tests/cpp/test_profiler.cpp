// The profiler on threads that are known to burn their time in one function.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <dlfcn.h>

#include "check.h"

#include "core/thread_name.h"
#include "profiler/cpu_profiler.h"
#include "profiler/symbolizer.h"
#include "profiler/threads.h"
#include "profiler/unwind.h"

using namespace llamad;
using namespace std::chrono_literals;

namespace {

constexpr int kHz = 250;
constexpr auto kLongest = 60s; // for CPU time on a machine that has none to spare

std::atomic<std::uint64_t> burnt{0};

[[gnu::noinline]] void burn_some() {
    for (int i = 0; i < 10'000; ++i) {
        burnt.fetch_add(1, std::memory_order_relaxed);
    }
}

// Burns CPU time in a thread of its own for as long as it lives.
class Burner {
  public:
    explicit Burner(const char *name = "burner")
        : thread_(start_thread(name, [this] {
              while (!stop_) {
                  burn_some();
              }
          })) {}
    Burner(const Burner &) = delete;
    Burner &operator=(const Burner &) = delete;
    ~Burner() {
        stop_ = true;
        thread_.join();
    }

  private:
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

std::uint64_t samples_in(const CpuProfile &profile, const std::string &function) {
    Symbolizer symbolizer;
    std::uint64_t count = 0;
    for (const auto &[stack, seen] : profile.stacks) {
        const bool there = std::ranges::any_of(stack.addresses, [&](std::uintptr_t address) {
            return symbolizer.find(address).name.find(function) != std::string::npos;
        });
        count += there ? seen.count : 0;
    }
    return count;
}

// Profiles what `burn` does, for longer and longer until something is seen: CPU time cannot be demanded.
template <typename Burn> CpuProfile profile_until(const std::string &function, Burn burn) {
    const auto deadline = std::chrono::steady_clock::now() + kLongest;
    for (auto duration = 200ms;; duration *= 2) {
        auto profiler = CpuProfiler::start(kHz);
        burn(duration);
        profiler->stop();
        if (samples_in(profiler->profile(), function) > 0 || std::chrono::steady_clock::now() > deadline) {
            return profiler->profile();
        }
    }
}

bool disposition_is_default() {
    struct sigaction now{};
    sigaction(SIGPROF, nullptr, &now);
    return (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL;
}

int files_open() {
    const auto entries = std::filesystem::directory_iterator("/proc/self/fd");
    return static_cast<int>(std::distance(begin(entries), end(entries)));
}

} // namespace

// ThreadSanitizer keeps a signal back until the thread calls something that it intercepts, and then calls the
// handler itself: there are no samples of threads that only compute, and no interrupted frame.
#ifndef __SANITIZE_THREAD__

TEST("threads that ran before and threads that start meanwhile are sampled") {
    const Burner before("before");
    const CpuProfile profile = profile_until("burn_some", [](auto duration) {
        const Burner meanwhile("meanwhile");
        std::this_thread::sleep_for(duration);
    });
    CHECK(samples_in(profile, "burn_some") > 0);
    CHECK(samples_in(profile, "Burner::Burner") > 0); // its caller
    std::vector<std::string> names;
    for (const auto &[id, name] : profile.threads) {
        names.push_back(name);
    }
    CHECK(std::ranges::count(names, "before") == 1);
    CHECK(std::ranges::count(names, "meanwhile") == 1);
    CHECK_EQ(profile.n_unwatched, 0);
}

TEST("every thread shows its stack") {
    const Burner burner;
    Symbolizer symbolizer;
    const auto stacks = stacks_of_all_threads(kLongest);
    REQUIRE(stacks.has_value());
    CHECK_EQ(stacks->size(), thread_ids().size());
    CHECK(std::ranges::all_of(*stacks, [](const auto &one) { return !one.second.empty(); }));
    CHECK(disposition_is_default());
}

#endif

TEST("one at a time") {
    const auto first = CpuProfiler::start(kHz);
    REQUIRE(first != nullptr);
    CHECK(CpuProfiler::start(kHz) == nullptr);
    CHECK(!stacks_of_all_threads(100ms));
    first->stop();
    CHECK(CpuProfiler::start(kHz) != nullptr);
}

TEST("profiles come and go on busy threads, and leave nothing behind") {
    const Burner one;
    const Burner two;
    CpuProfiler::start(kHz)->stop();
    const int files_before = files_open();
    for (int i = 0; i < 50; ++i) {
        auto profiler = CpuProfiler::start(1000);
        REQUIRE(profiler != nullptr);
        std::this_thread::sleep_for(std::chrono::milliseconds(i % 7));
        const Burner brief;
        profiler->stop();
        CHECK(disposition_is_default()); // and a signal that came now would end the process
    }
    CHECK_EQ(files_open(), files_before);
}

TEST("the first thread's samples are counted for the interpreter, the others' are not") {
    static std::atomic<int> told{0};
    const auto deadline = std::chrono::steady_clock::now() + kLongest;
    auto profiler = CpuProfiler::start(kHz, {.evaluator = nullptr, .on_sample = [] { ++told; }});
    const Burner other;
    while (told < 3 && std::chrono::steady_clock::now() < deadline) {
        burn_some();
    }
    profiler->stop();
    CHECK(told >= 3);
    CHECK_EQ(SamplingSignal::n_told(), told.load());
}

TEST("exceptions thrown while samples are taken arrive") {
    auto profiler = CpuProfiler::start(1000);
    const auto end = std::chrono::steady_clock::now() + 300ms;
    std::uint64_t caught = 0;
    std::uint64_t thrown = 0;
    while (std::chrono::steady_clock::now() < end) {
        try {
            ++thrown;
            throw std::runtime_error("the unwinder is at work when the signal comes");
        } catch (const std::runtime_error &) {
            ++caught;
        }
    }
    profiler->stop();
    CHECK_EQ(caught, thrown);
}

TEST("libraries loaded and unloaded while samples are taken do no harm") {
    auto profiler = CpuProfiler::start(1000);
    const auto end = std::chrono::steady_clock::now() + 300ms;
    while (std::chrono::steady_clock::now() < end) {
        if (void *const library = dlopen("libutil.so.1", RTLD_NOW); library != nullptr) {
            dlclose(library);
        }
    }
    profiler->stop();
    CHECK_EQ(profiler->profile().n_lost, 0);
}

TEST("a full buffer loses samples and counts them") {
    SampleBuffer buffer(2);
    Sample *const first = buffer.claim();
    Sample *const second = buffer.claim();
    REQUIRE(first != nullptr && second != nullptr);
    CHECK(buffer.claim() == nullptr);
    first->thread_id = 1;
    buffer.publish(first);
    std::vector<int> taken;
    buffer.drain([&taken](const Sample &sample) { taken.push_back(sample.thread_id); });
    CHECK_EQ(taken, std::vector<int>{1}); // the second is still being written
    CHECK_EQ(buffer.take_lost(), 1);
    CHECK_EQ(buffer.take_lost(), 0);
}

TEST("a file that is no program has no symbols") {
    CHECK(ElfSymbols("/nonexistent").at(0).empty());
    CHECK(ElfSymbols("/proc/self/cmdline").at(0).empty());
    CHECK(ElfSymbols("/etc/passwd").build_id().empty());
}
