// The chat formats of well-known models, from the templates in llama.cpp's source.
#pragma once

#include <cstddef>
#include <fstream>
#include <functional>
#include <memory>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat.h"
#include "json.h"
#include "log.h"

#include "chat/chat_format.h"
#include "chat/chat_parser.h"

namespace llamad {

// The parts of an answer, put together again.
struct Answer {
    std::string reasoning;
    std::string content;
    std::vector<std::pair<std::string, std::string>> calls; // function, arguments

    void add(const std::vector<ChatEvent> &events) {
        for (const ChatEvent &event : events) {
            if (event.kind == ChatEvent::Kind::kContent) {
                content += event.text;
            } else if (event.kind == ChatEvent::Kind::kReasoning) {
                reasoning += event.text;
            } else {
                if (event.index == calls.size()) {
                    calls.emplace_back(event.name, "");
                } else if (event.index > calls.size() || !event.name.empty()) {
                    throw std::runtime_error("a tool call is told out of order, or its name twice");
                }
                calls[event.index].second += event.text;
            }
        }
    }

    bool operator==(const Answer &) const = default;
    friend std::ostream &operator<<(std::ostream &out, const Answer &answer) {
        out << "{reasoning \"" << answer.reasoning << "\", content \"" << answer.content << '"';
        for (const auto &[name, arguments] : answer.calls) {
            out << ", " << name << ' ' << arguments;
        }
        return out << '}';
    }
};

inline constexpr const char *kPlace =
    R"({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"},
        "options": {"type": "object"}}, "required": ["city"]})";

inline common_chat_templates_inputs ask(bool with_tools) {
    common_chat_templates_inputs inputs;
    inputs.messages.emplace_back().role = "user";
    inputs.messages.back().content = "Hello";
    inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
    inputs.parallel_tool_calls = true;
    if (with_tools) {
        inputs.tools = {{.name = "get_weather", .description = "The weather", .parameters = kPlace},
                        {.name = "get_time", .description = "The time", .parameters = kPlace}};
    }
    return inputs;
}

inline common_chat_templates_ptr read_template(const std::string &path) {
    common_log_set_verbosity_thold(-1);
    std::ifstream file(path);
    std::stringstream source;
    source << file.rdbuf();
    if (source.str().empty()) {
        throw std::runtime_error("cannot read " + path);
    }
    return common_chat_templates_init(nullptr, source.str());
}

inline std::string template_path(const std::string &name) {
    return LLAMAD_TEST_TEMPLATES "/" + name + ".jinja";
}

inline std::shared_ptr<const ChatFormat> format_of(const std::string &name,
                                                   const common_chat_templates_inputs &inputs) {
    const common_chat_templates_ptr templates = read_template(template_path(name));
    return std::make_shared<const ChatFormat>(common_chat_templates_apply(templates.get(), inputs));
}

// Feeds an output in pieces of as many bytes as `next_size` says, and then to the end of a character.
inline Answer read_in_pieces(std::shared_ptr<const ChatFormat> format, std::string_view output,
                             const std::function<std::size_t()> &next_size) {
    ChatParser parser(std::move(format));
    Answer answer;
    while (!output.empty()) {
        std::size_t size = std::min(std::max<std::size_t>(next_size(), 1), output.size());
        while (size < output.size() && (static_cast<unsigned char>(output[size]) & 0xC0U) == 0x80U) {
            ++size;
        }
        answer.add(parser.feed(output.substr(0, size)));
        output.remove_prefix(size);
    }
    answer.add(parser.finish());
    return answer;
}

inline Answer read_whole(std::shared_ptr<const ChatFormat> format, std::string_view output) {
    return read_in_pieces(std::move(format), output, [&] { return output.size(); });
}

inline Answer read_by_character(std::shared_ptr<const ChatFormat> format, std::string_view output) {
    return read_in_pieces(std::move(format), output, [] { return 1; });
}

} // namespace llamad
