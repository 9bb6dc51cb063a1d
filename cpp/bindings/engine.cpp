// Engine and Prepared. Every method that may block or take more than microseconds releases the GIL.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "fields.h"
#include "loading.h"
#include "stats.h"
#include "waiting.h"

#include "chat/chat_parser.h"
#include "llama/llama_engine.h"

namespace py = pybind11;

namespace llamad {

namespace {

using ReleaseGil = py::call_guard<py::gil_scoped_release>;

RequestOptions read_options(const py::kwargs &arguments) {
    RequestOptions options;
    FieldReader fields(arguments);
    fields.read("stream", options.stream);
    fields.read("n", options.n);
    fields.read("priority", options.priority);
    fields.read("client", options.client);
    fields.read("cache_salt", options.cache_salt);
    fields.read("timeout_s", options.timeout_s);
    fields.require_all_read();
    options.validate();
    return options;
}

py::list drain(LlamaEngine &engine) {
    std::vector<Event> events;
    {
        const py::gil_scoped_release released;
        events = engine.events().drain();
    }
    py::list list(events.size());
    for (std::size_t i = 0; i < events.size(); ++i) {
        Event &event = events[i];
        py::object end = event.end ? py::cast(std::move(event.end)) : py::object(py::none());
        list[i] = py::make_tuple(event.id, py::str(event.text), event.tokens, to_list(event.logprobs),
                                 std::move(end));
    }
    return list;
}

py::dict histograms(const Metrics &metrics) {
    py::dict dict;
    dict["queue_s"] = to_tuple(metrics.queue_s);
    dict["ttft_s"] = to_tuple(metrics.ttft_s);
    dict["itl_s"] = to_tuple(metrics.itl_s);
    dict["e2e_s"] = to_tuple(metrics.e2e_s);
    dict["prefill_s"] = to_tuple(metrics.prefill_s);
    dict["decode_s"] = to_tuple(metrics.decode_s);
    dict["prompt_tokens"] = to_tuple(metrics.prompt_tokens_each);
    dict["generation_tokens"] = to_tuple(metrics.generation_tokens_each);
    dict["step_s"] = to_tuple(metrics.step_s);
    dict["decode_rows"] = to_tuple(metrics.decode_rows);
    dict["prefill_rows"] = to_tuple(metrics.prefill_rows);
    return dict;
}

py::dict stats(const LlamaEngine &engine) {
    const Metrics &metrics = engine.metrics();
    py::dict dict;
    const auto add = [&dict](const char *name, const auto &value) {
        dict[name] = value.load(std::memory_order_relaxed);
    };
    const auto finished = [&](FinishReason reason) -> const Metrics::Counter & {
        return metrics.finished[static_cast<std::size_t>(reason)];
    };
    add("prompt_tokens", metrics.prompt_tokens);
    add("cached_tokens", metrics.cached_tokens);
    add("copied_tokens", metrics.copied_tokens);
    add("restored_tokens", metrics.restored_tokens);
    add("prefilled_tokens", metrics.prefilled_tokens);
    add("generated_tokens", metrics.generated_tokens);
    add("decode_calls", metrics.decode_calls);
    add("preemptions", metrics.preemptions);
    add("queue_timeouts", metrics.queue_timeouts);
    add("timeouts", metrics.timeouts);
    add("running", metrics.running);
    add("waiting", metrics.waiting);
    add("finished_stop", finished(FinishReason::kStop));
    add("finished_length", finished(FinishReason::kLength));
    add("finished_cancelled", finished(FinishReason::kCancelled));
    add("finished_error", finished(FinishReason::kError));
    add("prefix_cache_bytes", metrics.store_bytes);
    add("prefix_cache_disk_bytes", metrics.store_disk_bytes);
    add("prefix_cache_entries", metrics.store_entries);
    add("prefix_cache_evictions", metrics.store_evictions);
    add("kv_cells_used", metrics.kv_cells_used);
    add("kv_cells_held", metrics.kv_cells_held);
    dict["kv_cells"] = engine.n_kv_cells();
    dict["slots"] = engine.info().n_parallel;
    dict["rejected"] = engine.n_rejected();
    dict["busy_s"] = engine.silent_s();
    dict["histograms"] = histograms(metrics);
    return dict;
}

const char *name_of(SlotView::State state) {
    switch (state) {
    case SlotView::State::kIdle:
        return "idle";
    case SlotView::State::kPrefill:
        return "prefill";
    case SlotView::State::kDecode:
        return "decode";
    }
    return "";
}

py::list slots(const LlamaEngine &engine) {
    const TimePoint now = Clock::now();
    py::list list;
    for (const SlotView &view : engine.slots()) {
        const bool idle = view.state == SlotView::State::kIdle;
        py::dict slot;
        slot["id"] = list.size();
        slot["state"] = name_of(view.state);
        slot["request_id"] = idle ? py::object(py::none()) : py::cast(view.request);
        slot["n_prompt"] = view.n_prompt;
        slot["n_cached"] = view.n_cached;
        slot["n_computed"] = view.n_computed;
        slot["n_generated"] = view.n_generated;
        slot["age_s"] = idle ? 0.0 : seconds_between(view.submitted_at, now);
        list.append(std::move(slot));
    }
    return list;
}

void register_prepared(py::module_ &module) {
    py::class_<Prepared>(module, "Prepared")
        .def_readonly("prompt_token_ids", &Prepared::prompt)
        .def_property_readonly("n_prompt_tokens", [](const Prepared &self) { return self.prompt.size(); })
        .def_readonly("n", &Prepared::n)
        .def("take_apart", &Prepared::take_apart)
        .def("parser", [](const Prepared &self) {
            return self.format == nullptr ? nullptr : std::make_unique<ChatParser>(self.format);
        });
}

template <typename Prompt>
Prepared prepare(const LlamaEngine &self, Prompt prompt, const SamplingParams &params,
                 const py::kwargs &arguments) {
    const RequestOptions options = read_options(arguments);
    const py::gil_scoped_release released;
    return self.prepare(std::move(prompt), params, options);
}

Prepared prepare_chat(const LlamaEngine &self, std::string_view conversation_json,
                      const SamplingParams &params, const py::kwargs &arguments) {
    const RequestOptions options = read_options(arguments);
    const py::gil_scoped_release released;
    return self.prepare_chat(conversation_json, params, options);
}

Prepared prepare_infill(const LlamaEngine &self, std::string_view prefix, std::string_view suffix,
                        const SamplingParams &params, const py::kwargs &arguments) {
    const RequestOptions options = read_options(arguments);
    const py::gil_scoped_release released;
    return self.prepare_infill(prefix, suffix, params, options);
}

py::list token_pieces(const LlamaEngine &self, const std::vector<TokenId> &token_ids) {
    py::list pieces;
    for (const std::string &piece : self.token_pieces(token_ids)) {
        pieces.append(py::bytes(piece));
    }
    return pieces;
}

std::vector<RequestId> submit(LlamaEngine &self, const py::args &arguments) {
    std::vector<Prepared *> prepared;
    for (const py::handle one : arguments) {
        if (!py::isinstance<Prepared>(one)) {
            throw py::type_error("submit takes what prepare has returned");
        }
        prepared.push_back(one.cast<Prepared *>());
    }
    return self.submit(prepared);
}

} // namespace

void register_engine(py::module_ &module) {
    register_prepared(module);
    // An engine that nobody closed is closed by its destructor, which joins a thread.
    py::class_<LlamaEngine, Held<LlamaEngine>>(module, "Engine", py::release_gil_before_calling_cpp_dtor())
        .def(py::init(&load<LlamaEngine, EngineConfig>), py::arg("config"),
             py::arg("on_progress") = py::none())
        .def_property_readonly("info", &LlamaEngine::info)
        .def_property_readonly("closed", &LlamaEngine::closed)
        .def("prepare", &prepare<std::string_view>, py::arg("prompt"), py::arg("params"))
        .def("prepare", &prepare<std::vector<TokenId>>, py::arg("prompt"), py::arg("params"))
        .def("prepare_chat", &prepare_chat, py::arg("conversation_json"), py::arg("params"))
        .def("prepare_infill", &prepare_infill, py::arg("prefix"), py::arg("suffix"), py::arg("params"))
        .def("apply_template", &LlamaEngine::apply_template, py::arg("conversation_json"), ReleaseGil())
        .def("tokenize", &LlamaEngine::tokenize, py::arg("text"), py::arg("add_special") = true,
             py::arg("parse_special") = true, ReleaseGil())
        .def(
            "detokenize",
            [](const LlamaEngine &self, const std::vector<TokenId> &token_ids, bool special) {
                return self.detokenize(token_ids, special);
            },
            py::arg("token_ids"), py::arg("special") = false, ReleaseGil())
        .def("token_pieces", &token_pieces, py::arg("token_ids"))
        .def("submit", &submit)
        .def("cancel", &LlamaEngine::cancel, py::arg("request_id"))
        .def("fileno", [](LlamaEngine &self) { return self.events().fd(); })
        .def("drain", &drain)
        .def("wait", &wait<LlamaEngine>, py::arg("timeout_s"), ReleaseGil())
        .def("wake", [](LlamaEngine &self) { self.events().wake(); })
        .def("stats", &stats)
        .def("slots", &slots)
        .def("close", &LlamaEngine::close, ReleaseGil());
}

} // namespace llamad
