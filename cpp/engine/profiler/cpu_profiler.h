// Where the process spends its CPU time: every thread is sampled by a timer on its own CPU clock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "profiler/sampling_signal.h"

namespace llamad {

// A stack that was seen; see Sample.
struct SampledStack {
    auto operator<=>(const SampledStack &) const = default;

    int thread_id = 0;
    std::int32_t evaluator_at = -1;
    std::uint64_t evaluator_frame = 0;
    std::vector<std::uintptr_t> addresses;
};

struct Seen {
    std::uint64_t count = 0;
    std::vector<std::uint64_t> ordinals; // of those that the interpreter was told of
};

struct CpuProfile {
    std::map<SampledStack, Seen> stacks;
    std::map<int, std::string> threads; // names of all that were watched
    std::uint64_t n_lost = 0;           // samples for which there was no room
    std::uint64_t n_unwatched = 0;      // threads that the system granted no timer
    std::string failure;                // why it ended early; empty: it did not
};

// Samples the process until stop(). Threads that start meanwhile are noticed within a tenth of a second.
//
// Threading: start(), stop() and the destructor from any thread, one after the other.
class CpuProfiler {
  public:
    // `hz`: samples per second of CPU time and thread. Null: see SamplingSignal::take().
    static std::unique_ptr<CpuProfiler> start(int hz, Interpreter interpreter = {});

    CpuProfiler(const CpuProfiler &) = delete;
    CpuProfiler &operator=(const CpuProfiler &) = delete;
    ~CpuProfiler() { stop(); }

    // Ends sampling; waits for the profiler's own thread. Idempotent.
    void stop();

    // What was seen; to be called after stop().
    const CpuProfile &profile() const { return profile_; }

    // Puts the handler of samples back after somebody has set another.
    static void reclaim_signal() { SamplingSignal::install(); }

  private:
    CpuProfiler(int hz, std::unique_ptr<SamplingSignal> signal);

    void run();
    void sample_until_stopped();
    void watch_threads();
    void collect();

    const int hz_;
    std::unique_ptr<SamplingSignal> signal_;
    CpuProfile profile_;
    std::map<int, std::optional<timer_t>> timers_; // by thread; none where none was granted
    std::mutex mutex_;
    std::condition_variable stopping_;
    bool stopped_ = false;
    std::thread thread_; // last: it uses everything above
};

using Stacks = std::map<int, std::vector<std::uintptr_t>>;

// One look at every thread that answers within `patience`. None: see SamplingSignal::take().
std::optional<Stacks> stacks_of_all_threads(std::chrono::milliseconds patience);

} // namespace llamad
