#include "chat/chat_template.h"

#include <exception>

#include "chat.h"

#include "core/errors.h"

namespace llamad {

ChatTemplate::ChatTemplate(const LlamaModel &model, const std::string &source)
    : templates_(nullptr, common_chat_templates_free) {
    try {
        templates_.reset(common_chat_templates_init(model.get(), source).release());
    } catch (const std::exception &) { // llama.cpp throws a sliced copy: its text says nothing
        if (source.empty()) {
            throw ModelLoadError(
                "the model's own chat template does not parse; give another as chat_template");
        }
        throw ParameterError("chat_template", "chat_template must be Jinja that llama.cpp can parse");
    }
}

ChatTemplate::~ChatTemplate() = default;

ChatPrompt ChatTemplate::apply(std::string_view messages_json) const {
    try {
        common_chat_templates_inputs inputs;
        inputs.messages = common_chat_msgs_parse_oaicompat(common_json::parse(std::string(messages_json)));
        if (inputs.messages.empty()) {
            throw TemplateError("messages", "messages must not be empty");
        }
        const std::lock_guard lock(mutex_);
        common_chat_params params = common_chat_templates_apply(templates_.get(), inputs);
        return {.text = std::move(params.prompt), .stops = std::move(params.additional_stops)};
    } catch (const TemplateError &) {
        throw;
    } catch (const std::exception &error) {
        throw TemplateError("messages", std::string("the messages do not fit the model's chat template: ") +
                                            error.what());
    }
}

bool ChatTemplate::is_models_own() const { return common_chat_templates_was_explicit(templates_.get()); }

} // namespace llamad
