// A conversation as JSON in, the model's prompt out.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "llama/llama_model.h"

struct common_chat_templates;

namespace llamad {

struct ChatPrompt {
    std::string text;
    std::vector<std::string> stops; // strings that end the model's turn, beside its own tokens
};

// The chat template of a model, run by llama.cpp's Jinja engine.
class ChatTemplate {
  public:
    // `source`: Jinja to use instead of the model's own; empty for the model's own, or ChatML where
    // it has none. Throws ParameterError where the source does not parse, ModelLoadError where the
    // model's own does not.
    ChatTemplate(const LlamaModel &model, const std::string &source);
    ~ChatTemplate();
    ChatTemplate(const ChatTemplate &) = delete;
    ChatTemplate &operator=(const ChatTemplate &) = delete;

    // `messages_json`: an array of {"role": ..., "content": ...} in OpenAI's form.
    // Any thread. Throws TemplateError.
    ChatPrompt apply(std::string_view messages_json) const;

    // False: the model brought no template, and ChatML stands in.
    bool is_models_own() const;

  private:
    std::unique_ptr<common_chat_templates, void (*)(common_chat_templates *)> templates_;
    // The parsed template is a tree that rendering may annotate; a render takes a millisecond.
    mutable std::mutex mutex_;
};

} // namespace llamad
