// What a model's file says of the model.
#include "bindings.h"

#include "llama/model_metadata.h"

namespace py = pybind11;

namespace llamad {

namespace {

py::dict metadata_of(const std::string &path) {
    ModelMetadata metadata;
    {
        const py::gil_scoped_release released;
        metadata = read_metadata(path);
    }
    py::dict dict;
    dict["architecture"] = to_str(metadata.architecture);
    dict["name"] = to_str(metadata.name);
    dict["n_params"] = metadata.n_params;
    dict["quantization"] = metadata.quantization;
    dict["n_ctx_train"] = metadata.n_ctx_train;
    dict["n_embd"] = metadata.n_embd;
    dict["pooling"] = name_of(metadata.pooling);
    dict["kind"] = name_of(metadata.kind);
    dict["has_chat_template"] = metadata.has_chat_template;
    return dict;
}

} // namespace

void register_metadata(py::module_ &module) {
    module.def("read_metadata", &metadata_of, py::arg("path"),
               "Read what a model's file says of the model, without loading it.");
}

} // namespace llamad
