// Embedder and what it takes and gives. Every method that may block or take more than microseconds releases
// the GIL.
#include <string>
#include <utility>
#include <vector>

#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "fields.h"
#include "loading.h"
#include "stats.h"
#include "waiting.h"

#include "llama/llama_embedder.h"

namespace py = pybind11;

namespace llamad {

namespace {

using ReleaseGil = py::call_guard<py::gil_scoped_release>;

EmbedderConfig read_config(const py::kwargs &arguments) {
    EmbedderConfig config;
    FieldReader fields(arguments);
    fields.read("model_path", config.model_path);
    fields.read("n_ctx", config.n_ctx);
    fields.read("n_ubatch", config.n_ubatch);
    fields.read("n_threads", config.n_threads);
    fields.read_or_auto("n_gpu_layers", config.n_gpu_layers);
    fields.read("split_mode", config.split_mode);
    fields.read("tensor_split", config.tensor_split);
    fields.read("main_gpu", config.main_gpu);
    fields.read("use_mmap", config.use_mmap);
    fields.read("flash_attn", config.flash_attn);
    fields.read("max_queue", config.max_queue);
    fields.read("request_timeout_s", config.request_timeout_s);
    fields.require_all_read();
    config.validate();
    return config;
}

// [inputs, n_out]. Nobody else has them, so whoever reads them may also write.
py::buffer_info buffer_of(EmbedEnd &end) {
    const auto n_out = static_cast<py::ssize_t>(end.n_out);
    const auto n_inputs = static_cast<py::ssize_t>(end.values.size()) / n_out;
    return {end.values.data(),
            {n_inputs, n_out},
            {n_out * py::ssize_t{sizeof(float)}, py::ssize_t{sizeof(float)}}};
}

py::list drain(LlamaEmbedder &embedder) {
    std::vector<EmbedEnd> ends;
    {
        const py::gil_scoped_release released;
        ends = embedder.events().take_all();
    }
    py::list list(ends.size());
    for (std::size_t i = 0; i < ends.size(); ++i) {
        list[i] = py::cast(std::move(ends[i]));
    }
    return list;
}

py::dict stats(const LlamaEmbedder &embedder) {
    const EmbedMetrics &metrics = embedder.metrics();
    py::dict dict;
    const auto add = [&dict](const char *name, const auto &value) {
        dict[name] = value.load(std::memory_order_relaxed);
    };
    const auto finished = [&](FinishReason reason) -> const Metrics::Counter & {
        return metrics.finished[static_cast<std::size_t>(reason)];
    };
    add("inputs", metrics.inputs);
    add("prompt_tokens", metrics.tokens);
    add("decode_calls", metrics.encode_calls);
    add("timeouts", metrics.timeouts);
    add("running", metrics.running);
    add("waiting", metrics.waiting);
    add("finished_stop", finished(FinishReason::kStop));
    add("finished_cancelled", finished(FinishReason::kCancelled));
    add("finished_error", finished(FinishReason::kError));
    dict["rejected"] = embedder.n_rejected();
    dict["busy_s"] = embedder.silent_s();
    py::dict histograms;
    histograms["queue_s"] = to_tuple(metrics.queue_s);
    histograms["e2e_s"] = to_tuple(metrics.e2e_s);
    histograms["step_s"] = to_tuple(metrics.step_s);
    histograms["batch_rows"] = to_tuple(metrics.batch_rows);
    dict["histograms"] = std::move(histograms);
    return dict;
}

void register_info(py::module_ &module) {
    const auto of_model = [](auto member) {
        return [member](const EmbedderInfo &info) { return info.model.*member; };
    };
    py::class_<EmbedderInfo>(module, "EmbedderInfo")
        .def_property_readonly("architecture", of_model(&ModelInfo::architecture))
        .def_property_readonly("description", of_model(&ModelInfo::description))
        .def_property_readonly("n_params", of_model(&ModelInfo::n_params))
        .def_property_readonly("quantization", of_model(&ModelInfo::quantization))
        .def_property_readonly("size_bytes", of_model(&ModelInfo::size_bytes))
        .def_property_readonly("n_vocab", of_model(&ModelInfo::n_vocab))
        .def_property_readonly("n_ctx", of_model(&ModelInfo::n_ctx))
        .def_property_readonly("n_ctx_train", of_model(&ModelInfo::n_ctx_train))
        .def_property_readonly("devices", [](const EmbedderInfo &info) { return info.model.devices(); })
        .def_property_readonly("memory", [](const EmbedderInfo &info) { return to_list(info.model.memory); })
        .def_property_readonly("kind", [](const EmbedderInfo &info) { return name_of(info.kind); })
        .def_property_readonly("pooling", [](const EmbedderInfo &info) { return name_of(info.pooling); })
        .def_readonly("n_out", &EmbedderInfo::n_out);
}

void register_events(py::module_ &module) {
    py::class_<PreparedEmbedding>(module, "PreparedEmbedding")
        .def_readonly("n_tokens", &PreparedEmbedding::n_tokens)
        .def_property_readonly("n_done", [](const PreparedEmbedding &self) {
            return self.n_done->load(std::memory_order_relaxed);
        });
    py::class_<EmbedEnd>(module, "EmbedEnd", py::buffer_protocol())
        .def_buffer(&buffer_of)
        .def_readonly("request_id", &EmbedEnd::id)
        .def_property_readonly("finish_reason", [](const EmbedEnd &end) { return name_of(end.reason); })
        .def_property_readonly("values", [](const py::object &end) { return py::memoryview(end); })
        .def_property_readonly("error_kind", [](const EmbedEnd &end) { return name_of(end.error); })
        .def_property_readonly("error_message", [](const EmbedEnd &end) { return to_str(end.error_message); })
        .def_readonly("queue_s", &EmbedEnd::queue_s)
        .def_readonly("compute_s", &EmbedEnd::compute_s);
}

} // namespace

void register_embedder(py::module_ &module) {
    py::class_<EmbedderConfig>(module, "EmbedderConfig").def(py::init(&read_config));
    register_info(module);
    register_events(module);
    // An embedder that nobody closed is closed by its destructor, which joins a thread.
    py::class_<LlamaEmbedder, Held<LlamaEmbedder>>(module, "Embedder",
                                                   py::release_gil_before_calling_cpp_dtor())
        .def(py::init(&load<LlamaEmbedder, EmbedderConfig>), py::arg("config"),
             py::arg("on_progress") = py::none())
        .def_property_readonly("info", &LlamaEmbedder::info)
        .def_property_readonly("closed", &LlamaEmbedder::closed)
        .def("prepare", &LlamaEmbedder::prepare, py::arg("inputs"), ReleaseGil())
        .def("prepare_rerank", &LlamaEmbedder::prepare_rerank, py::arg("query"), py::arg("documents"),
             ReleaseGil())
        .def("tokenize", &LlamaEmbedder::tokenize, py::arg("text"), py::arg("add_special") = true,
             py::arg("parse_special") = true, ReleaseGil())
        .def(
            "detokenize",
            [](const LlamaEmbedder &self, const std::vector<TokenId> &token_ids, bool special) {
                return self.detokenize(token_ids, special);
            },
            py::arg("token_ids"), py::arg("special") = false, ReleaseGil())
        .def("submit", &LlamaEmbedder::submit, py::arg("prepared"))
        .def("cancel", &LlamaEmbedder::cancel, py::arg("request_id"))
        .def("fileno", [](LlamaEmbedder &self) { return self.events().fd(); })
        .def("drain", &drain)
        .def("wait", &wait<LlamaEmbedder>, py::arg("timeout_s"), ReleaseGil())
        .def("wake", [](LlamaEmbedder &self) { self.events().wake(); })
        .def("stats", &stats)
        .def("close", &LlamaEmbedder::close, ReleaseGil());
}

} // namespace llamad
