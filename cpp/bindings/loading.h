// Loads a model with the GIL released, which it takes only to report, and holds what has been loaded.
#pragma once

#include <exception>
#include <functional>
#include <memory>

#include <pybind11/pybind11.h>

#include "core/errors.h"
#include "llama/llama_model.h"

namespace llamad {

// What a process inherits by fork() is left as it is: the threads to be joined are not there.
struct DeleteAtHome {
    template <typename Loaded> void operator()(Loaded *loaded) const {
        if (loaded->is_at_home()) {
            std::default_delete<Loaded>()(loaded);
        }
    }
};
template <typename Loaded> using Held = std::unique_ptr<Loaded, DeleteAtHome>;

using ProgressCallback = std::function<bool(float)>;

// What the callback raises ends the load and reaches the caller.
template <typename Loaded, typename Config>
Held<Loaded> load(const Config &config, const ProgressCallback &on_progress) {
    std::exception_ptr raised;
    LlamaModel::Progress progress;
    if (on_progress) {
        progress = [&](float fraction) {
            const pybind11::gil_scoped_acquire gil;
            try {
                return on_progress(fraction);
            } catch (const pybind11::error_already_set &) {
                raised = std::current_exception();
                return false;
            }
        };
    }
    try {
        const pybind11::gil_scoped_release released;
        return Held<Loaded>(std::make_unique<Loaded>(config, progress).release());
    } catch (const Error &) {
        if (raised) {
            std::rethrow_exception(raised);
        }
        throw;
    }
}

} // namespace llamad
