#include "chat/spelled_tools.h"

#include <string>
#include <utility>
#include <vector>

#include "chat-peg-parser.h"
#include "json-schema-to-grammar.h"
#include "json.h"

namespace llamad {

namespace {

constexpr const char *kCall = "<tool_call>";
constexpr const char *kCallEnd = "</tool_call>";

std::string description_of(const common_chat_templates_inputs &inputs) {
    std::string text =
        "You can call functions. Each line between <tools> and </tools> describes one:\n<tools>\n";
    for (const common_chat_tool &tool : inputs.tools) {
        text += common_chat_tools_to_json_oaicompat({tool}).at(0).at("function").dump() + "\n";
    }
    text += "</tools>\nTo call one, write its name and arguments as a JSON object, like this:\n";
    text += std::string(kCall) + "\n{\"name\": \"...\", \"arguments\": {...}}\n" + kCallEnd;
    if (inputs.parallel_tool_calls) {
        text += "\nSeveral calls may follow one another.";
    }
    return text;
}

void append(common_chat_msg &message, const std::string &text) {
    message.content = message.render_content();
    message.content_parts.clear();
    message.content.append(message.content.empty() ? "" : "\n\n").append(text);
}

common_chat_msg with_calls_spelled_out(common_chat_msg message) {
    std::string calls;
    for (const common_chat_tool_call &call : message.tool_calls) {
        calls += calls.empty() ? "" : "\n";
        calls += std::string(kCall) + "\n{\"name\": " + common_json(call.name).dump() +
                 ", \"arguments\": " + call.arguments + "}\n" + kCallEnd;
    }
    message.tool_calls.clear();
    append(message, calls);
    return message;
}

} // namespace

common_chat_templates_inputs with_tools_spelled_out(const common_chat_templates_inputs &inputs) {
    common_chat_templates_inputs spelled = inputs;
    spelled.tools.clear();
    spelled.messages.clear();
    common_chat_msg system;
    system.role = "system";
    bool last_is_result = false;
    for (const common_chat_msg &message : inputs.messages) {
        const bool is_result = message.role == "tool";
        if (spelled.messages.empty() && (message.role == "system" || message.role == "developer")) {
            system = message;
            continue;
        }
        if (is_result) {
            const std::string result = "<tool_response>\n" + message.render_content() + "\n</tool_response>";
            if (!last_is_result) { // results of one turn share a message: many templates ask for alternation
                spelled.messages.emplace_back().role = "user";
            }
            append(spelled.messages.back(), result);
        } else {
            spelled.messages.push_back(message.tool_calls.empty() ? message
                                                                  : with_calls_spelled_out(message));
        }
        last_is_result = is_result;
    }
    append(system, description_of(inputs));
    spelled.messages.insert(spelled.messages.begin(), std::move(system));
    return spelled;
}

void read_spelled_calls(const common_chat_templates_inputs &inputs, common_chat_params &params) {
    const bool required = inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    const bool thinks = inputs.reasoning_format != COMMON_REASONING_FORMAT_NONE &&
                        !params.thinking_start_tag.empty() && !params.thinking_end_tags.empty();
    const common_json tools = common_chat_tools_to_json_oaicompat(inputs.tools);
    const common_peg_arena parser = build_chat_peg_parser([&](common_chat_peg_builder &p) {
        common_peg_parser root = p.prefix(params.generation_prompt, thinks ? params.thinking_start_tag : "");
        if (thinks) {
            const std::string &end = params.thinking_end_tags.front();
            root = root << p.optional(p.literal(params.thinking_start_tag) + p.space() +
                                      p.reasoning(p.until(end)) + p.literal(end));
        }
        const common_peg_parser call =
            p.standard_json_tools(kCall, kCallEnd, tools, /*parallel_tool_calls=*/false,
                                  /*force_tool_calls=*/true, "name", "arguments");
        const common_peg_parser calls = p.trigger_rule(
            "tool-calls", inputs.parallel_tool_calls ? p.one_or_more(call + p.space()) : call + p.space());
        if (required) {
            return (root << calls) + p.end();
        }
        return (root << p.optional(p.content(p.until(kCall)))) + p.optional(calls) + p.end();
    });
    params.format = COMMON_CHAT_FORMAT_PEG_NATIVE;
    params.parser = parser.save();
    params.grammar_lazy = !required;
    params.grammar = build_grammar(
        [&](const common_grammar_builder &builder) { parser.build_grammar(builder, params.grammar_lazy); });
    params.grammar_triggers.clear();
    if (params.grammar_lazy) {
        params.grammar_triggers.push_back({COMMON_GRAMMAR_TRIGGER_TYPE_WORD, kCall});
    }
    params.preserved_tokens.insert(params.preserved_tokens.end(), {kCall, kCallEnd});
}

} // namespace llamad
