#include "profiler/cpu_profiler.h"

#include <algorithm>
#include <csignal>
#include <exception>

#include <sys/syscall.h>
#include <unistd.h>

#include "core/thread_name.h"
#include "profiler/threads.h"

namespace llamad {

namespace {

constexpr std::chrono::milliseconds kPeriod{100}; // of looking for new threads and of emptying the buffer

// The CPU clock of a thread of this process, as the kernel's ABI has it; pthread_getcpuclockid() would want a
// pthread_t, which cannot be had of a thread that others have started.
clockid_t cpu_clock_of(int thread_id) {
    constexpr clockid_t kPerThread = 4;
    constexpr clockid_t kScheduler = 2;
    return (~static_cast<clockid_t>(thread_id) * 8) | kPerThread | kScheduler;
}

// None: the thread has ended, or there are too many timers.
std::optional<timer_t> make_timer(int thread_id, int hz) {
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGPROF;
#ifdef sigev_notify_thread_id
    event.sigev_notify_thread_id = thread_id;
#else // glibc before 2.38
    event._sigev_un._tid = thread_id;
#endif
    timer_t timer = nullptr;
    if (timer_create(cpu_clock_of(thread_id), &event, &timer) != 0) {
        return std::nullopt;
    }
    itimerspec interval{};
    interval.it_interval.tv_nsec = 1'000'000'000L / hz;
    interval.it_value = interval.it_interval;
    timer_settime(timer, 0, &interval, nullptr);
    return timer;
}

} // namespace

std::unique_ptr<CpuProfiler> CpuProfiler::start(int hz, Interpreter interpreter) {
    auto signal = SamplingSignal::take(interpreter);
    if (signal == nullptr) {
        return nullptr;
    }
    return std::unique_ptr<CpuProfiler>(new CpuProfiler(hz, std::move(signal)));
}

CpuProfiler::CpuProfiler(int hz, std::unique_ptr<SamplingSignal> signal)
    : hz_(hz), signal_(std::move(signal)), thread_(start_thread("llamad-profiler", [this] { run(); })) {}

void CpuProfiler::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    stopping_.notify_one();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void CpuProfiler::run() {
    const auto try_to = [this](auto work) { // no memory, say: half a profile rather than no server
        try {
            work();
        } catch (const std::exception &failure) {
            profile_.failure = failure.what();
        }
    };
    try_to([this] { sample_until_stopped(); });
    for (const auto &[id, timer] : timers_) {
        if (timer) {
            timer_delete(*timer);
        } else {
            ++profile_.n_unwatched;
        }
    }
    signal_->silence();
    try_to([this] { collect(); });
    signal_.reset();
}

void CpuProfiler::sample_until_stopped() {
    std::unique_lock lock(mutex_);
    do {
        watch_threads();
        collect();
    } while (!stopping_.wait_for(lock, kPeriod, [this] { return stopped_; }));
}

void CpuProfiler::watch_threads() {
    const std::vector<int> ids = thread_ids();
    for (const int id : ids) {
        if (!timers_.contains(id)) {
            timers_[id] = make_timer(id, hz_);
        }
        if (std::string name = thread_name(id); !name.empty()) {
            profile_.threads[id] = std::move(name); // anew each time: threads name themselves when they run
        }
    }
    std::erase_if(timers_, [&ids](const auto &one) {
        const bool ended = std::ranges::find(ids, one.first) == ids.end();
        if (ended && one.second) {
            timer_delete(*one.second);
        }
        return ended;
    });
}

void CpuProfiler::collect() {
    SamplingSignal::buffer().drain([this](const Sample &sample) {
        const auto stack = sample.stack();
        Seen &seen = profile_.stacks[{.thread_id = sample.thread_id,
                                      .evaluator_at = sample.evaluator_at,
                                      .evaluator_frame = sample.evaluator_frame,
                                      .addresses = {stack.begin(), stack.end()}}];
        ++seen.count;
        if (sample.evaluator_at >= 0) {
            seen.ordinals.push_back(sample.ordinal);
        }
    });
    profile_.n_lost += SamplingSignal::buffer().take_lost();
}

std::optional<Stacks> stacks_of_all_threads(std::chrono::milliseconds patience) {
    const auto signal = SamplingSignal::take({});
    if (signal == nullptr) {
        return std::nullopt;
    }
    const std::vector<int> ids = thread_ids();
    const auto n_asked = static_cast<std::size_t>(std::ranges::count_if(ids, &SamplingSignal::look_at));
    const auto deadline = std::chrono::steady_clock::now() + patience;
    Stacks stacks;
    do {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        SamplingSignal::buffer().drain([&stacks](const Sample &sample) {
            const auto stack = sample.stack();
            stacks[sample.thread_id].assign(stack.begin(), stack.end());
        });
    } while (stacks.size() < n_asked && std::chrono::steady_clock::now() < deadline);
    return stacks;
}

} // namespace llamad
