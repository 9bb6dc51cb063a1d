// ModelInfo and Finish: plain values that Python reads.
#include <pybind11/stl.h>

#include "bindings.h"

#include "core/event_queue.h"
#include "llama/llama_model.h"

namespace py = pybind11;

namespace llamad {

const char *name_of(FinishReason reason) {
    switch (reason) {
    case FinishReason::kStop:
        return "stop";
    case FinishReason::kLength:
        return "length";
    case FinishReason::kCancelled:
        return "cancelled";
    case FinishReason::kError:
        return "error";
    }
    return "";
}

const char *name_of(ErrorKind kind) {
    switch (kind) {
    case ErrorKind::kNone:
        return "";
    case ErrorKind::kEngineClosed:
        return "engine_closed";
    case ErrorKind::kGenerationFailed:
        return "generation_failed";
    case ErrorKind::kQueueTimeout:
        return "queue_timeout";
    case ErrorKind::kTimeout:
        return "timeout";
    }
    return "";
}

py::object to_list(const std::vector<TokenLogprobs> &logprobs) {
    if (logprobs.empty()) {
        return py::none();
    }
    py::list list;
    for (const TokenLogprobs &entry : logprobs) {
        list.append(py::make_tuple(entry.token, entry.logprob, entry.top));
    }
    return list;
}

void register_results(py::module_ &module) {
    py::class_<ModelInfo>(module, "ModelInfo")
        .def_readonly("architecture", &ModelInfo::architecture)
        .def_readonly("description", &ModelInfo::description)
        .def_readonly("n_params", &ModelInfo::n_params)
        .def_readonly("size_bytes", &ModelInfo::size_bytes)
        .def_readonly("n_vocab", &ModelInfo::n_vocab)
        .def_readonly("n_ctx", &ModelInfo::n_ctx)
        .def_readonly("n_ctx_train", &ModelInfo::n_ctx_train)
        .def_readonly("n_parallel", &ModelInfo::n_parallel)
        .def_readonly("has_chat_template", &ModelInfo::has_chat_template)
        .def_readonly("has_tools_template", &ModelInfo::has_tools_template)
        .def_readonly("thinks", &ModelInfo::thinks)
        .def_readonly("can_infill", &ModelInfo::can_infill)
        .def_readonly("quantization", &ModelInfo::quantization)
        .def_readonly("vocab_type", &ModelInfo::vocab_type)
        .def_property_readonly("bos_token", [](const ModelInfo &info) { return to_str(info.bos_token); })
        .def_property_readonly("eos_token", [](const ModelInfo &info) { return to_str(info.eos_token); })
        .def_property_readonly("devices", &ModelInfo::devices)
        .def_property_readonly("memory", [](const ModelInfo &info) { return to_list(info.memory); });

    py::class_<End>(module, "Finish")
        .def_property_readonly("finish_reason", [](const End &end) { return name_of(end.reason); })
        .def_property_readonly("stop_string",
                               [](const End &end) {
                                   return end.stop_string.empty() ? std::optional<std::string>()
                                                                  : end.stop_string;
                               })
        .def_property_readonly("prompt_tokens", [](const End &end) { return end.usage.prompt_tokens; })
        .def_property_readonly("completion_tokens",
                               [](const End &end) { return end.usage.completion_tokens; })
        .def_property_readonly("cached_tokens", [](const End &end) { return end.usage.cached_tokens; })
        .def_property_readonly("queue_s", [](const End &end) { return end.timings.queue_s; })
        .def_property_readonly("prefill_s", [](const End &end) { return end.timings.prefill_s; })
        .def_property_readonly("decode_s", [](const End &end) { return end.timings.decode_s; })
        .def_property_readonly("prompt_logprobs", [](const End &end) { return to_list(end.prompt_logprobs); })
        .def_property_readonly("error_kind", [](const End &end) { return name_of(end.error); })
        .def_property_readonly("error_message", [](const End &end) { return to_str(end.error_message); });
}

} // namespace llamad
