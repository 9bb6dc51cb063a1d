// Another quantization of a model.
#include "llama/quantize.h"

#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "fields.h"

namespace py = pybind11;

namespace llamad {

namespace {

QuantizeOptions read_options(std::string source, std::string target, const py::kwargs &arguments) {
    QuantizeOptions options{.source = std::move(source), .target = std::move(target), .type = {}};
    FieldReader fields(arguments);
    fields.read("type", options.type);
    fields.read("n_threads", options.n_threads);
    fields.read("allow_requantize", options.allow_requantize);
    fields.read("keep_output_tensor", options.keep_output_tensor);
    fields.read("pure", options.pure);
    fields.require_all_read();
    return options;
}

// A std::function made of a Python callable takes the GIL for each call.
void quantize_to(std::string source, std::string target, const QuantizeProgress &on_progress,
                 const py::kwargs &arguments) {
    const QuantizeOptions options = read_options(std::move(source), std::move(target), arguments);
    const py::gil_scoped_release released;
    quantize(options, on_progress);
}

std::uint64_t size_of(std::string source, const py::kwargs &arguments) {
    const QuantizeOptions options = read_options(std::move(source), /*target=*/{}, arguments);
    const py::gil_scoped_release released;
    return quantized_size(options);
}

} // namespace

void register_quantize(py::module_ &module) {
    module.def("quantization_types", &quantization_types,
               "The types that quantize() makes, from the most exact to the smallest.");
    module.def("quantize", &quantize_to, py::arg("source"), py::arg("target"), py::kw_only(),
               py::arg("on_progress") = py::none(),
               "Write another quantization of a model; what on_progress raises gives up.");
    module.def("quantized_size", &size_of, py::arg("source"),
               "Bytes of the file that quantize() would write, give or take some 10 KiB.");
}

} // namespace llamad
