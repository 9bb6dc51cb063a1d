#include "profiler/sampling_signal.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

#include <sys/syscall.h>
#include <unistd.h>

#include "profiler/unwind.h"

namespace llamad {

namespace {

// A hundred samples a second of every processor, drained every tenth of one, leave most of it empty.
constexpr std::size_t kCapacity = 4096;

std::atomic<bool> owned{false};
std::atomic<bool> sampling{false};
std::atomic<int> n_inside{0}; // handlers
std::atomic<std::uint64_t> n_told_of{0};
Interpreter told; // these three are written while nobody is sampling
SampleBuffer *samples = nullptr;
struct sigaction disposition_before;

void sample_this_thread() {
    const auto id = static_cast<int>(syscall(SYS_gettid));
    Sample *sample = samples->claim();
    if (sample == nullptr) {
        return;
    }
    sample->thread_id = id;
    const bool first_thread = id == getpid();
    unwind_interrupted(*sample, first_thread ? told.evaluator : nullptr);
    const bool tell = first_thread && told.on_sample != nullptr;
    if (tell) {
        sample->ordinal = n_told_of.fetch_add(1);
    }
    samples->publish(sample);
    if (tell) {
        told.on_sample();
    }
}

void on_signal(int /*number*/, siginfo_t *info, void * /*context*/) {
    if (info->si_code != SI_TIMER && info->si_code != SI_TKILL) {
        return; // somebody else's
    }
    const int error = errno;
    ++n_inside;
    if (sampling) {
        sample_this_thread();
    }
    --n_inside;
    errno = error;
}

} // namespace

SampleBuffer &SamplingSignal::buffer() {
    static auto *const buffer = new SampleBuffer(kCapacity);
    return *buffer;
}

std::uint64_t SamplingSignal::n_told() { return n_told_of; }

bool SamplingSignal::look_at(int thread_id) { return syscall(SYS_tgkill, getpid(), thread_id, SIGPROF) == 0; }

std::unique_ptr<SamplingSignal> SamplingSignal::take(Interpreter interpreter) {
    if (unwinding_unsupported() != nullptr || owned.exchange(true)) {
        return nullptr;
    }
    samples = &buffer();
    samples->drain([](const Sample & /*left over*/) {});
    samples->take_lost();
    told = interpreter;
    n_told_of = 0;
    Sample warm_up; // resolves what the unwinder calls
    unwind_interrupted(warm_up, nullptr);
    sampling = true;
    sigaction(SIGPROF, nullptr, &disposition_before);
    install();
    return std::unique_ptr<SamplingSignal>(new SamplingSignal);
}

void SamplingSignal::install() {
    struct sigaction action{};
    action.sa_sigaction = &on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGPROF, &action, nullptr);
}

SamplingSignal::~SamplingSignal() {
    silence();
    owned = false;
}

void SamplingSignal::silence() {
    if (!sampling.exchange(false)) {
        return;
    }
    // To ignore a signal drops those that are pending; the disposition before, usually to end the process,
    // must not meet them.
    struct sigaction ignore{};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPROF, &ignore, nullptr);
    sigaction(SIGPROF, &disposition_before, nullptr);
    while (n_inside > 0) {
        std::this_thread::yield();
    }
}

} // namespace llamad
