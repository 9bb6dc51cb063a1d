// One register function per subject; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

namespace llamad {

void register_errors();
void register_params(pybind11::module_ &module);
void register_results(pybind11::module_ &module);
void register_engine(pybind11::module_ &module);
void register_log(pybind11::module_ &module);

} // namespace llamad
