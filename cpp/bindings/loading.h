// Loads a model with the GIL released and takes it only to report.
#pragma once

#include <exception>
#include <functional>
#include <memory>

#include <pybind11/pybind11.h>

#include "core/errors.h"
#include "llama/llama_model.h"

namespace llamad {

using ProgressCallback = std::function<bool(float)>;

// What the callback raises ends the load and reaches the caller.
template <typename Loaded, typename Config>
std::unique_ptr<Loaded> load(const Config &config, const ProgressCallback &on_progress) {
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
        return std::make_unique<Loaded>(config, progress);
    } catch (const Error &) {
        if (raised) {
            std::rethrow_exception(raised);
        }
        throw;
    }
}

} // namespace llamad
