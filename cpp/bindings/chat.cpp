// ChatParser: the events of an answer as tuples.
#include <pybind11/stl.h>

#include "bindings.h"

#include "chat/chat_parser.h"

namespace py = pybind11;

namespace llamad {

namespace {

py::list to_tuples(const std::vector<ChatEvent> &events) {
    py::list list;
    for (const ChatEvent &event : events) {
        switch (event.kind) {
        case ChatEvent::Kind::kContent:
            list.append(py::make_tuple("content", event.text));
            break;
        case ChatEvent::Kind::kReasoning:
            list.append(py::make_tuple("reasoning", event.text));
            break;
        case ChatEvent::Kind::kToolCall:
            list.append(py::make_tuple("tool_call", event.index, event.name, event.text));
            break;
        }
    }
    return list;
}

} // namespace

void register_chat(py::module_ &module) {
    py::class_<ChatParser>(module, "ChatParser")
        .def(
            "feed", [](ChatParser &self, std::string_view text) { return to_tuples(self.feed(text)); },
            py::arg("text"))
        .def("finish", [](ChatParser &self) { return to_tuples(self.finish()); })
        .def_property_readonly("bytes_read", &ChatParser::bytes_read);
}

} // namespace llamad
