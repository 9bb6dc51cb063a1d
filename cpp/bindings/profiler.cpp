// CPU profiles and stacks of the whole process.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "bindings.h"

#include "profiler/cpu_profiler.h"
#include "profiler/symbolizer.h"
#include "profiler/threads.h"
#include "profiler/unwind.h"

namespace py = pybind11;

namespace llamad {

namespace {

constexpr std::chrono::milliseconds kPatience{200}; // for all threads to show their stacks

// CPython runs its handler of a tripped signal as soon as it can, in the first thread.
void trip_python() { PyErr_SetInterruptEx(SIGPROF); }

Interpreter python() {
    return {.evaluator = reinterpret_cast<const void *>(&_PyEval_EvalFrameDefault),
            .on_sample = &trip_python};
}

// What a profile says of its addresses.
struct Names {
    explicit Names(const CpuProfile &profile) {
        std::set<std::uintptr_t> addresses;
        for (const auto &[stack, seen] : profile.stacks) {
            addresses.insert(stack.addresses.begin(), stack.addresses.end());
        }
        for (const std::uintptr_t address : addresses) {
            symbols.emplace_back(address, symbolizer.find(address));
        }
    }

    Symbolizer symbolizer;
    std::vector<std::pair<std::uintptr_t, Symbol>> symbols;
};

py::list samples_of(const CpuProfile &profile) {
    py::list samples;
    for (const auto &[stack, seen] : profile.stacks) {
        py::tuple addresses(stack.addresses.size());
        for (std::size_t i = 0; i < stack.addresses.size(); ++i) {
            addresses[i] = stack.addresses[i];
        }
        py::list ordinals;
        for (const std::uint64_t ordinal : seen.ordinals) {
            ordinals.append(ordinal);
        }
        samples.append(py::make_tuple(stack.thread_id, addresses, seen.count, stack.evaluator_at,
                                      stack.evaluator_frame, ordinals));
    }
    return samples;
}

py::dict to_dict(const CpuProfile &profile, Names &names) {
    py::dict threads;
    for (const auto &[id, name] : profile.threads) {
        threads[py::int_(id)] = to_str(name);
    }
    py::dict mappings;
    py::dict symbols;
    for (const auto &[address, symbol] : names.symbols) {
        py::object start = py::none();
        if (const Mapping *const mapping = symbol.mapping; mapping != nullptr) {
            start = py::int_(mapping->start);
            const ElfSymbols &file = names.symbolizer.symbols_of(*mapping);
            mappings[start] = py::make_tuple(mapping->limit, mapping->file_offset, to_str(mapping->path),
                                             file.build_id(), file.complete());
        }
        symbols[py::int_(address)] = py::make_tuple(to_str(symbol.name), to_str(symbol.mangled), start);
    }
    py::dict dict;
    dict["samples"] = samples_of(profile);
    dict["threads"] = threads;
    dict["mappings"] = mappings;
    dict["symbols"] = symbols;
    dict["lost"] = profile.n_lost;
    dict["unwatched"] = profile.n_unwatched;
    dict["failure"] = to_str(profile.failure);
    return dict;
}

py::dict profile_of(const CpuProfiler &profiler) {
    std::unique_ptr<Names> names;
    {
        const py::gil_scoped_release released;
        names = std::make_unique<Names>(profiler.profile());
    }
    return to_dict(profiler.profile(), *names);
}

py::object native_stacks() {
    std::optional<Stacks> stacks;
    std::map<int, std::vector<std::string>> named;
    {
        const py::gil_scoped_release released;
        stacks = stacks_of_all_threads(kPatience);
        Symbolizer symbolizer;
        for (const auto &[id, addresses] : stacks.value_or(Stacks())) {
            for (const std::uintptr_t address : addresses) {
                named[id].push_back(symbolizer.find(address).name);
            }
        }
    }
    if (!stacks) {
        return py::none();
    }
    py::dict dict;
    for (const auto &[id, frames] : named) {
        py::list list;
        for (const std::string &frame : frames) {
            list.append(to_str(frame));
        }
        dict[py::int_(id)] = list;
    }
    return dict;
}

} // namespace

void register_profiler(py::module_ &module) {
    py::class_<CpuProfiler>(module, "CpuProfiler", "Samples the CPU time of every thread of the process.")
        .def_static(
            "start", [](int hz) { return CpuProfiler::start(hz, python()); }, py::arg("hz"),
            py::call_guard<py::gil_scoped_release>(),
            "Sample hz times per second of a thread's CPU time; None: another one does, or it cannot be "
            "done.")
        .def(
            "mark",
            [](const CpuProfiler & /*profiler*/) {
                return py::make_tuple(SamplingSignal::n_told(), second_evaluator_frame(python().evaluator));
            },
            "To be called by the Python handler of SIGPROF: how many samples Python was told of so far, and "
            "which frame of the evaluator the handler has interrupted.")
        .def_static("reclaim_signal", &CpuProfiler::reclaim_signal,
                    "To be called after a Python handler of SIGPROF was set, which takes the signal itself.")
        .def("stop", &CpuProfiler::stop, py::call_guard<py::gil_scoped_release>(), "End; idempotent.")
        .def("profile", &profile_of, "After stop(): what was seen; see llamad.profile.cpu.");
    module.def(
        "thread_name", [](int thread_id) { return to_str(thread_name(thread_id)); }, py::arg("thread_id"),
        "As the system knows it.");
    module.def("profiling_unsupported", &unwinding_unsupported, "Why there is no profiling here, or None.");
    module.def(
        "native_stacks", &native_stacks,
        "Return the functions that each thread is in, innermost first; None while a profile is taken.");
}

} // namespace llamad
