// SIGPROF, while somebody samples.
#pragma once

#include <cstdint>
#include <memory>

#include "profiler/sample_buffer.h"

namespace llamad {

// What an interpreter in the process wants of the samples of the first thread, where its signal handlers run.
struct Interpreter {
    const void *evaluator = nullptr; // see unwind_interrupted()
    void (*on_sample)() = nullptr;   // called in the signal handler, when the sample is complete
};

// Owns the process's SIGPROF: a thread that gets it, from a timer or from look_at(), leaves a Sample. The
// disposition that was there before comes back in the end, and no signal is left over for it.
//
// Signal handlers may run at any moment in any thread, so what they use is never freed.
class SamplingSignal {
  public:
    // Null: somebody owns it already, or stacks cannot be walked here.
    static std::unique_ptr<SamplingSignal> take(Interpreter interpreter);

    SamplingSignal(const SamplingSignal &) = delete;
    SamplingSignal &operator=(const SamplingSignal &) = delete;
    ~SamplingSignal(); // silences, and lets the next one have it

    // Ends sampling: no handler runs any more, and the disposition before is back. Whatever sends the signal
    // has to be stopped first. Idempotent.
    void silence();

    // To be called again where somebody else has set a handler meanwhile; what is restored stays the same.
    static void install();

    static SampleBuffer &buffer();

    // Samples so far that the interpreter was told of.
    static std::uint64_t n_told();

    // Asks one thread for one sample. False: there is no such thread.
    static bool look_at(int thread_id);

  private:
    SamplingSignal() = default;
};

} // namespace llamad
