#include "chat/conversation.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "json.h"

#include "chat/nesting.h"
#include "core/errors.h"

namespace llamad {

namespace {

// Much of what reads the tools' schemas calls itself for each level.
constexpr std::size_t kMostNested = 500;

// A field of the conversation, where it is there and not null.
const common_json *find(const common_json &conversation, const std::string &name) {
    if (!conversation.contains(name)) {
        return nullptr;
    }
    const common_json &value = conversation.at(name);
    return value.is_null() ? nullptr : &value;
}

[[noreturn]] void reject(const std::string &param, const std::string &expected, const common_json &value) {
    throw ParameterError(param, param + " must be " + expected + ", got " + value.dump());
}

std::optional<bool> read_bool(const common_json &conversation, const std::string &name) {
    const common_json *value = find(conversation, name);
    if (value == nullptr) {
        return std::nullopt;
    }
    if (!value->is_boolean()) {
        reject(name, "a boolean", *value);
    }
    return value->get<bool>();
}

std::string read_string(const common_json &conversation, const std::string &name) {
    const common_json *value = find(conversation, name);
    if (value == nullptr) {
        return "";
    }
    if (!value->is_string()) {
        reject(name, "a string", *value);
    }
    return value->get<std::string>();
}

void require_array(const common_json &value, const std::string &name) {
    if (!value.is_array()) {
        reject(name, "an array", value);
    }
}

// What llama.cpp says, without what it wraps it in: the list, which the caller has, and links for developers.
std::string problem_of(const std::exception &error) {
    std::string text = error.what();
    for (const char *wrapped : {"; tools = ", " (ref: "}) {
        text.resize(std::min(text.find(wrapped), text.size()));
    }
    const std::size_t colon = text.find(": ");
    return text.starts_with("Failed to parse") && colon != std::string::npos ? text.substr(colon + 2) : text;
}

// llama.cpp's reader of a list, one entry at a time, so that the error names the entry.
template <typename Entry, typename Read>
std::vector<Entry> read_entries(const common_json &list, const std::string &name, const Read &read) {
    std::vector<Entry> entries;
    for (std::size_t i = 0; i < list.size(); ++i) {
        const std::string param = name + "[" + std::to_string(i) + "]";
        try {
            entries.push_back(std::move(read(common_json::array({list.at(i)})).at(0)));
        } catch (const std::exception &error) {
            throw TemplateError(param, param + " cannot be used: " + problem_of(error));
        }
    }
    return entries;
}

void read_messages(const common_json &conversation, common_chat_templates_inputs &inputs) {
    const common_json *messages = find(conversation, "messages");
    if (messages != nullptr) {
        require_array(*messages, "messages");
    }
    if (messages == nullptr || messages->empty()) {
        throw TemplateError("messages", "messages must not be empty");
    }
    inputs.messages = read_entries<common_chat_msg>(*messages, "messages", common_chat_msgs_parse_oaicompat);
    for (common_chat_msg &message : inputs.messages) {
        for (common_chat_tool_call &call : message.tool_calls) {
            // What clients keep of a call without arguments is often an empty string.
            if (call.arguments.find_first_not_of(" \t\r\n") == std::string::npos) {
                call.arguments = "{}";
            }
        }
    }
}

void read_tools(const common_json &conversation, Conversation &read) {
    common_chat_templates_inputs &inputs = read.inputs;
    if (const common_json *tools = find(conversation, "tools")) {
        require_array(*tools, "tools");
        inputs.tools = read_entries<common_chat_tool>(*tools, "tools", common_chat_tools_parse_oaicompat);
    }
    for (std::size_t i = 0; i < inputs.tools.size(); ++i) {
        const std::string param = "tools[" + std::to_string(i) + "].function";
        if (inputs.tools[i].name.empty()) {
            throw ParameterError(param + ".name", param + ".name must not be empty");
        }
        const common_json parameters = common_json::parse(inputs.tools[i].parameters);
        if (!parameters.is_object() && !parameters.is_null()) {
            reject(param + ".parameters", "an object", parameters);
        }
    }
    if (const std::string choice = read_string(conversation, "tool_choice"); !choice.empty()) {
        try {
            inputs.tool_choice = common_chat_tool_choice_parse_oaicompat(choice);
        } catch (const std::exception &) {
            reject("tool_choice", "auto, required or none", choice);
        }
    }
    if (inputs.tools.empty() && inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED) {
        throw ParameterError("tool_choice", "tool_choice is required, but there are no tools");
    }
    if (const std::optional<bool> parallel = read_bool(conversation, "parallel_tool_calls")) {
        inputs.parallel_tool_calls = *parallel;
        read.chooses_parallel = true;
    }
    read.calls_tools = !inputs.tools.empty() && inputs.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE;
}

void read_template_arguments(const common_json &conversation, common_chat_templates_inputs &inputs) {
    if (const common_json *arguments = find(conversation, "chat_template_kwargs")) {
        if (!arguments->is_object()) {
            reject("chat_template_kwargs", "an object", *arguments);
        }
        for (const auto &[name, value] : arguments->items()) {
            inputs.chat_template_kwargs[name] = value.dump();
            if (name == "enable_thinking") {
                if (!value.is_boolean()) {
                    reject("chat_template_kwargs.enable_thinking", "a boolean", value);
                }
                inputs.enable_thinking = value.template get<bool>();
            }
        }
    }
    const std::string effort = read_string(conversation, "reasoning_effort");
    if (effort == "none") {
        inputs.enable_thinking = false;
    } else if (!effort.empty()) {
        inputs.chat_template_kwargs["reasoning_effort"] = common_json(effort).dump();
    }
    const std::string format = read_string(conversation, "reasoning_format");
    if (!format.empty() && format != "auto" && format != "none") {
        reject("reasoning_format", "auto or none", format);
    }
    inputs.reasoning_format = format == "none" ? COMMON_REASONING_FORMAT_NONE : COMMON_REASONING_FORMAT_AUTO;
}

void read_continuation(const common_json &conversation, common_chat_templates_inputs &inputs) {
    if (!read_bool(conversation, "continue_final_message").value_or(false)) {
        return;
    }
    const common_chat_msg &last = inputs.messages.back();
    if (last.role != "assistant" || !last.tool_calls.empty()) {
        throw ParameterError(
            "continue_final_message",
            "continue_final_message needs a last message of the assistant, without tool calls");
    }
    inputs.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
    inputs.add_generation_prompt = false;
}

} // namespace

Conversation read_conversation(std::string_view json) {
    if (deepest_nesting(json) > kMostNested) {
        throw ParameterError("conversation", "the conversation must not nest deeper than " +
                                                 std::to_string(kMostNested) + " levels");
    }
    const common_json conversation = common_json::parse_no_throw(std::string(json));
    if (conversation.is_discarded() || !conversation.is_object()) {
        throw ParameterError("conversation", "the conversation must be a JSON object with messages");
    }
    Conversation read;
    read_messages(conversation, read.inputs);
    read_tools(conversation, read);
    read_template_arguments(conversation, read.inputs);
    read_continuation(conversation, read.inputs);
    read.chat_template = read_string(conversation, "chat_template");
    return read;
}

} // namespace llamad
