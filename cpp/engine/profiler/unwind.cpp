#include "profiler/unwind.h"

#include <dlfcn.h>
#include <unwind.h>

namespace llamad {

namespace {

struct Walk {
    Sample *sample;
    std::uintptr_t evaluator;
    bool interrupted = false; // past the handler's own frames
    bool awaits_evaluator_frame = false;
};

bool is_evaluator(_Unwind_Context *context, std::uintptr_t evaluator) {
    return evaluator != 0 && _Unwind_GetRegionStart(context) == evaluator;
}

// One call a frame, the innermost first. The canonical frame address of a frame, which stays as it is until
// the function returns, is only known when the unwinder has arrived at its caller.
_Unwind_Reason_Code add_frame(_Unwind_Context *context, void *argument) {
    Walk &walk = *static_cast<Walk *>(argument);
    Sample &sample = *walk.sample;
    int exact = 0;
    const std::uintptr_t address = _Unwind_GetIPInfo(context, &exact);
    walk.interrupted = walk.interrupted || exact != 0;
    if (!walk.interrupted) {
        return _URC_NO_REASON;
    }
    if (walk.awaits_evaluator_frame) {
        sample.evaluator_frame = _Unwind_GetCFA(context);
        walk.awaits_evaluator_frame = false;
    }
    if (address == 0 || sample.depth == Sample::kMaxDepth) {
        return _URC_END_OF_STACK;
    }
    if (sample.evaluator_at < 0 && is_evaluator(context, walk.evaluator)) {
        sample.evaluator_at = static_cast<std::int32_t>(sample.depth);
        walk.awaits_evaluator_frame = true;
    }
    // A return address may be the first of the next function; the call before it is not.
    sample.addresses[sample.depth++] = address - (exact != 0 ? 0 : 1);
    return _URC_NO_REASON;
}

struct Search {
    std::uintptr_t evaluator;
    int n_seen = 0;
    std::uint64_t frame = 0;
};

_Unwind_Reason_Code find_second(_Unwind_Context *context, void *argument) {
    Search &search = *static_cast<Search *>(argument);
    if (search.n_seen == 2) {
        search.frame = _Unwind_GetCFA(context);
        return _URC_END_OF_STACK;
    }
    search.n_seen += is_evaluator(context, search.evaluator) ? 1 : 0;
    return _URC_NO_REASON;
}

} // namespace

const char *unwinding_unsupported() {
    static const bool lock_free = dlsym(RTLD_DEFAULT, "_dl_find_object") != nullptr;
    return lock_free ? nullptr : "profiling needs Linux with glibc 2.35 or later";
}

void unwind_interrupted(Sample &sample, const void *evaluator) {
    Walk walk{.sample = &sample, .evaluator = reinterpret_cast<std::uintptr_t>(evaluator)};
    _Unwind_Backtrace(&add_frame, &walk);
}

std::uint64_t second_evaluator_frame(const void *evaluator) {
    Search search{.evaluator = reinterpret_cast<std::uintptr_t>(evaluator)};
    _Unwind_Backtrace(&find_second, &search);
    return search.frame;
}

} // namespace llamad
