// What engines count, as Python values.
#pragma once

#include <vector>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/histogram.h"

namespace llamad {

// As (upper limits of the buckets, counts of each bucket alone and of what lies beyond, sum).
inline pybind11::tuple to_tuple(const Histogram &histogram) {
    const std::vector<double> bounds(histogram.bounds().begin(), histogram.bounds().end());
    return pybind11::make_tuple(pybind11::tuple(pybind11::cast(bounds)), histogram.counts(), histogram.sum());
}

} // namespace llamad
