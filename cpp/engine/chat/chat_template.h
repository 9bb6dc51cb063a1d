// A conversation as JSON in, the model's prompt out, with how its output is sampled and read.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/params.h"
#include "llama/llama_model.h"

struct common_chat_templates;

namespace llamad {

class ChatFormat;
struct Conversation;
struct ChatShape; // what a template makes of everything but the messages

struct ChatPrompt {
    std::string text;
    std::vector<std::string> stops;           // strings that end the model's turn, beside its own tokens
    std::shared_ptr<const ChatFormat> format; // null: the output is the answer as it is
    bool calls_tools = false;                 // tools are offered and may be called
    std::string grammar;                      // of tool calls; empty: none
    TemplateSampling sampling;                // goes with `grammar`
    bool may_think = false;                   // before it says what a caller's grammar is about
};

// The chat template of a model, run by llama.cpp's Jinja engine. Any thread.
class ChatTemplate {
  public:
    // `source`: Jinja to use instead of the model's own; empty for the model's own, or ChatML where
    // it has none. Throws ParameterError where the source does not parse, ModelLoadError where the
    // model's own does not.
    ChatTemplate(std::shared_ptr<const LlamaModel> model, const std::string &source);
    ~ChatTemplate();
    ChatTemplate(const ChatTemplate &) = delete;
    ChatTemplate &operator=(const ChatTemplate &) = delete;

    // `conversation_json`: see read_conversation(). Throws ParameterError, TemplateError.
    ChatPrompt apply(std::string_view conversation_json) const;

    // False: the model brought no template, and ChatML stands in.
    bool is_models_own() const;
    bool knows_tools() const { return knows_tools_; }
    bool thinks() const { return thinks_; }

  private:
    using ShapePtr = std::shared_ptr<const ChatShape>;
    // What the template makes of a conversation.
    struct Rendered {
        ShapePtr shape;
        std::string text;
    };

    ChatPrompt apply(Conversation conversation) const;
    Rendered render(const Conversation &conversation) const;
    [[noreturn]] void blame(const Conversation &conversation, const std::string &problem) const;
    std::shared_ptr<const ChatTemplate> other(const std::string &source) const;
    void learn_abilities();

    std::shared_ptr<const LlamaModel> model_;
    std::unique_ptr<common_chat_templates, void (*)(common_chat_templates *)> templates_;
    bool special_ = false; // llama.cpp has code of its own for this template
    bool knows_tools_ = false;
    bool thinks_ = false;
    // Guards what follows, and the parsed template: a tree that rendering may annotate.
    mutable std::mutex mutex_;
    mutable std::list<std::pair<std::string, ShapePtr>> shapes_; // the latest first
    mutable std::list<std::pair<std::string, std::shared_ptr<const ChatTemplate>>> others_;
};

} // namespace llamad
