// Walks the calling thread's own stack, also from within a signal handler.
#pragma once

#include <cstdint>

#include "profiler/sample_buffer.h"

namespace llamad {

// Why stacks cannot be walked in a signal handler here; null where they can.
//
// The compiler's unwinder is used. It reads tables only, but has to find them: with glibc before 2.35, and
// other C libraries, that takes the loader's lock, which the interrupted thread may hold.
const char *unwinding_unsupported();

// Fills in what was interrupted by the signal in whose handler this is called. `evaluator` is where the
// interpreter's function begins whose frames stand for its own; null: there is none.
//
// Async-signal-safe once it has been called outside a handler.
void unwind_interrupted(Sample &sample, const void *evaluator);

// Where on the calling thread's stack the frame of the interpreter's function lies that has called the one
// that has called this: what runs is a signal handler that the interpreter runs as a function of its own.
// 0: there is no such frame.
std::uint64_t second_evaluator_frame(const void *evaluator);

} // namespace llamad
