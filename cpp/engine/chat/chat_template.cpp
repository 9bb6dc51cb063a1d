#include "chat/chat_template.h"

#include <algorithm>
#include <exception>
#include <optional>

#include "chat-auto-parser.h"
#include "chat.h"

#include "chat/chat_format.h"
#include "chat/conversation.h"
#include "chat/required_calls.h"
#include "chat/spelled_tools.h"
#include "core/errors.h"

namespace llamad {

namespace {

// What a conversation that differs only in its messages can use again. An agent's tools stay the same.
constexpr std::size_t kMostShapes = 16;
constexpr std::size_t kMostOtherTemplates = 4;

// Whether llama.cpp has code of its own for a template, and so does not analyse it.
bool is_special(const std::string &source) {
    if (source.empty()) {
        return false;
    }
    autoparser::generation_params inputs;
    inputs.messages = common_json::array({common_json{{"role", "user"}, {"content", "x"}}});
    inputs.extra_context = common_json::object();
    inputs.add_generation_prompt = true;
    try {
        const common_chat_template parsed(source, "", "");
        return common_chat_try_specialized_template(parsed, source, inputs).has_value();
    } catch (const std::exception &) { // it got as far as rendering
        return true;
    }
}

// All that decides on the parser and the grammar, but the prompt.
std::string key_of(const common_chat_templates_inputs &inputs) {
    std::string key;
    const auto add = [&key](const std::string &part) { key.append(part).push_back('\0'); };
    for (const common_chat_tool &tool : inputs.tools) {
        add(tool.name);
        add(tool.description);
        add(tool.parameters);
    }
    add(std::to_string(inputs.tool_choice));
    add(std::to_string(inputs.parallel_tool_calls));
    add(std::to_string(inputs.reasoning_format));
    add(std::to_string(inputs.enable_thinking));
    for (const auto &[name, value] : inputs.chat_template_kwargs) {
        add(name);
        add(value);
    }
    return key;
}

// Moves what has the key to the front of a list of the latest.
template <typename Value>
Value find_latest(std::list<std::pair<std::string, Value>> &list, const std::string &key) {
    const auto found =
        std::find_if(list.begin(), list.end(), [&key](const auto &entry) { return entry.first == key; });
    if (found == list.end()) {
        return nullptr;
    }
    list.splice(list.begin(), list, found);
    return found->second;
}

template <typename Value>
void keep_latest(std::list<std::pair<std::string, Value>> &list, std::string key, Value value,
                 std::size_t most) {
    list.remove_if([&key](const auto &entry) { return entry.first == key; });
    list.emplace_front(std::move(key), std::move(value));
    if (list.size() > most) {
        list.pop_back();
    }
}

Thinking thinking_of(const common_chat_params &params) {
    Thinking thinking;
    if (params.supports_thinking && !params.thinking_start_tag.empty() && !params.thinking_end_tags.empty()) {
        thinking.start = params.thinking_start_tag;
        thinking.ends = params.thinking_end_tags;
        const std::size_t start = params.generation_prompt.rfind(thinking.start);
        thinking.open = start != std::string::npos &&
                        params.generation_prompt.find(thinking.ends.front(), start) == std::string::npos;
    }
    return thinking;
}

std::vector<Trigger> triggers_of(const common_chat_params &params) {
    std::vector<Trigger> triggers;
    for (const common_grammar_trigger &trigger : params.grammar_triggers) {
        const bool is_word = trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD;
        triggers.push_back(
            {.kind = is_word ? Trigger::Kind::kWord : Trigger::Kind::kPattern, .text = trigger.value});
    }
    return triggers;
}

} // namespace

struct ChatShape {
    common_chat_params params; // without the prompt
    std::shared_ptr<const ChatFormat> format;
    bool spelled = false; // the tools are: see spelled_tools.h
};

namespace {

// Takes the parser from the shape known before, where it is the same: loading it takes longest.
std::shared_ptr<const ChatShape> shape_of(common_chat_params params, const ChatShape *known, bool spelled) {
    params.prompt.clear();
    auto shape = std::make_shared<ChatShape>();
    const bool is_known = known != nullptr && known->params.parser == params.parser &&
                          known->params.generation_prompt == params.generation_prompt;
    shape->format = is_known ? known->format : std::make_shared<const ChatFormat>(params);
    shape->params = std::move(params);
    shape->spelled = spelled;
    return shape;
}

} // namespace

ChatTemplate::ChatTemplate(std::shared_ptr<const LlamaModel> model, const std::string &source)
    : model_(std::move(model)), templates_(nullptr, common_chat_templates_free) {
    try {
        templates_.reset(common_chat_templates_init(model_->get(), source).release());
    } catch (const std::exception &) { // llama.cpp throws a sliced copy: its text says nothing
        if (source.empty()) {
            throw ModelLoadError(
                "the model's own chat template does not parse; give another as chat_template");
        }
        throw ParameterError("chat_template", "chat_template must be Jinja that llama.cpp can parse");
    }
    special_ = is_special(common_chat_templates_source(templates_.get())) ||
               is_special(common_chat_templates_source(templates_.get(), "tool_use"));
    learn_abilities();
}

ChatTemplate::~ChatTemplate() = default;

void ChatTemplate::learn_abilities() {
    Conversation conversation;
    conversation.calls_tools = true;
    common_chat_templates_inputs &inputs = conversation.inputs;
    inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
    inputs.messages.emplace_back().role = "user";
    inputs.messages.back().content = "x";
    inputs.tools.push_back({.name = "x", .description = "x", .parameters = R"({"type": "object"})"});
    try {
        const ShapePtr shape = render(conversation).shape;
        knows_tools_ = !shape->spelled;
        thinks_ = shape->params.supports_thinking;
    } catch (const std::exception &) { // a template may refuse what it does not expect
        return;
    }
}

ChatPrompt ChatTemplate::apply(std::string_view conversation_json) const {
    Conversation conversation = read_conversation(conversation_json);
    if (!conversation.chat_template.empty()) {
        return other(conversation.chat_template)->apply(std::move(conversation));
    }
    return apply(std::move(conversation));
}

ChatPrompt ChatTemplate::apply(Conversation conversation) const {
    common_chat_templates_inputs &inputs = conversation.inputs;
    const std::lock_guard lock(mutex_);
    if (!conversation.chooses_parallel) {
        inputs.parallel_tool_calls =
            common_chat_templates_get_caps(templates_.get()).at("supports_parallel_tool_calls");
    }
    Rendered rendered;
    try {
        rendered = render(conversation);
    } catch (const std::exception &error) {
        blame(conversation, error.what());
    }
    const common_chat_params &params = rendered.shape->params;
    ChatPrompt prompt{.text = std::move(rendered.text),
                      .stops = params.additional_stops,
                      .format = rendered.shape->format,
                      .calls_tools = conversation.calls_tools,
                      .grammar = {},
                      .sampling = {}};
    const bool tells_thinking = inputs.reasoning_format != COMMON_REASONING_FORMAT_NONE;
    if (prompt.format->is_plain() || (!tells_thinking && !conversation.calls_tools)) {
        prompt.format = nullptr;
    }
    const Thinking thinking = thinking_of(params);
    if (tells_thinking) {
        prompt.sampling.thinking = thinking;
        // Where the prompt has both begun and ended it, it is over.
        const bool not_begun = params.generation_prompt.find(thinking.start) == std::string::npos;
        prompt.may_think = thinking.open || (not_begun && !thinking.start.empty() && inputs.enable_thinking &&
                                             inputs.add_generation_prompt);
    }
    if (conversation.calls_tools && !params.grammar.empty()) {
        prompt.grammar = params.grammar;
        if (params.grammar_lazy) {
            prompt.sampling.triggers = triggers_of(params);
        } else {
            prompt.sampling.grammar_prefix = params.generation_prompt;
        }
    }
    std::vector<std::string> shown = thinking.ends;
    shown.push_back(thinking.start);
    if (prompt.format != nullptr) {
        shown.insert(shown.end(), params.preserved_tokens.begin(), params.preserved_tokens.end());
    }
    prompt.sampling.shown = model_->control_tokens(shown);
    return prompt;
}

ChatTemplate::Rendered ChatTemplate::render(const Conversation &conversation) const {
    const common_chat_templates_inputs &inputs = conversation.inputs;
    const std::string key = key_of(inputs);
    const ShapePtr known = find_latest(shapes_, key);
    // llama.cpp analyses a template by rendering it dozens of times, again for each prompt. Where its
    // parser is known, a plain rendering does.
    if (known != nullptr && !special_ && inputs.continue_final_message == COMMON_CHAT_CONTINUATION_NONE) {
        common_chat_templates_inputs plain = known->spelled ? with_tools_spelled_out(inputs) : inputs;
        plain.force_pure_content = true;
        common_chat_params params = common_chat_templates_apply(templates_.get(), plain);
        if (params.generation_prompt == known->params.generation_prompt) {
            return {.shape = known, .text = std::move(params.prompt)};
        }
    }
    common_chat_params params = common_chat_templates_apply(templates_.get(), inputs);
    std::string text = std::move(params.prompt);
    forbid_text_before_calls(inputs, params);
    ShapePtr shape = shape_of(std::move(params), known.get(), /*spelled=*/false);
    if (conversation.calls_tools && !shape->format->has_tools()) {
        params = common_chat_templates_apply(templates_.get(), with_tools_spelled_out(inputs));
        text = std::move(params.prompt);
        read_spelled_calls(inputs, params);
        shape = shape_of(std::move(params), known.get(), /*spelled=*/true);
    }
    keep_latest(shapes_, key, shape, kMostShapes);
    return {.shape = std::move(shape), .text = std::move(text)};
}

// Finds out which field made the template fail.
void ChatTemplate::blame(const Conversation &conversation, const std::string &problem) const {
    const std::vector<common_chat_tool> &tools = conversation.inputs.tools;
    const auto problem_with = [&](std::vector<common_chat_tool> some) -> std::optional<std::string> {
        Conversation part = conversation;
        part.calls_tools = conversation.calls_tools && !some.empty();
        part.inputs.tools = std::move(some);
        try {
            render(part);
        } catch (const std::exception &error) {
            return error.what();
        }
        return std::nullopt;
    };
    if (!tools.empty() && !problem_with({})) {
        for (std::size_t i = 0; i < tools.size(); ++i) {
            if (const auto of_tool = problem_with({tools[i]})) {
                const std::string param = "tools[" + std::to_string(i) + "].function.parameters";
                throw ParameterError(param, param + " cannot be used: " + *of_tool);
            }
        }
        throw ParameterError("tools", "the tools cannot be used: " + problem);
    }
    throw TemplateError("messages", "the messages do not fit the model's chat template: " + problem);
}

std::shared_ptr<const ChatTemplate> ChatTemplate::other(const std::string &source) const {
    {
        const std::lock_guard lock(mutex_);
        if (auto known = find_latest(others_, source)) {
            return known;
        }
    }
    auto made = std::make_shared<const ChatTemplate>(model_, source);
    const std::lock_guard lock(mutex_);
    keep_latest(others_, source, made, kMostOtherTemplates);
    return made;
}

bool ChatTemplate::is_models_own() const { return common_chat_templates_was_explicit(templates_.get()); }

} // namespace llamad
