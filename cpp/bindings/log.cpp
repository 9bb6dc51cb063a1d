// llama.cpp's log, fetched by whoever wants it.
#include "bindings.h"

#include "llama/llama_log.h"
#include "llama/model_file.h"

namespace py = pybind11;

namespace llamad {

void register_log(py::module_ &module) {
    module.def("set_log_level", &set_log_level, py::arg("level"),
               "Drop llama.cpp's lines below this level: 1 debug, 2 info, 3 warning, 4 error.");
    module.def(
        "take_log_lines",
        [] {
            py::list lines;
            for (const LogLine &line : take_log_lines()) {
                lines.append(py::make_tuple(line.level, to_str(line.text)));
            }
            return lines;
        },
        "The (level, text) lines that llama.cpp has logged since the last call, of any model.");
    module.def("check_model_file", &check_model_file, py::arg("path"),
               py::call_guard<py::gil_scoped_release>(),
               "Read a model's headers and raise ModelError where it is missing, damaged or cut off.");
}

} // namespace llamad
