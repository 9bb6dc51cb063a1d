// One register function per subject; module.cpp calls them all.
#pragma once

#include <string>
#include <vector>

#include <pybind11/pybind11.h>

#include "core/logprobs.h"
#include "core/types.h"
#include "llama/devices.h"

namespace llamad {

// A str of text that may quote anything, such as part of a damaged file: what is no UTF-8 is replaced.
inline pybind11::str to_str(const std::string &text) {
    return pybind11::reinterpret_steal<pybind11::str>(
        PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

// As a list of (token, logprob, [(token, logprob), ...]); None where there are none.
pybind11::object to_list(const std::vector<TokenLogprobs> &logprobs);

// As a list of dicts: one for each device, "CPU" first.
pybind11::list to_list(const std::vector<MemoryUse> &uses);

const char *name_of(FinishReason reason); // "stop", "length", "cancelled", "error"
const char *name_of(ErrorKind kind);      // "engine_closed", ...; empty for none

void register_errors();
void register_params(pybind11::module_ &module);
void register_results(pybind11::module_ &module);
void register_chat(pybind11::module_ &module);
void register_engine(pybind11::module_ &module);
void register_embedder(pybind11::module_ &module);
void register_memory(pybind11::module_ &module);
void register_metadata(pybind11::module_ &module);
void register_quantize(pybind11::module_ &module);
void register_log(pybind11::module_ &module);
void register_profiler(pybind11::module_ &module);

} // namespace llamad
