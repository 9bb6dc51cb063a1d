#include <filesystem>
#include <string>

#include "chat_families.h"
#include "chat_rig.h"
#include "check.h"
#include "vocabulary.h"

#include "chat/required_calls.h"
#include "llama/grammar.h"

namespace llamad {

namespace {

struct Required {
    std::string grammar;
    std::string prompt;       // what of the assistant's turn it says already
    std::string thinking_end; // where it has begun to think
};

Required required_by(const std::string &family) {
    const common_chat_templates_ptr templates = read_template(template_path(family));
    common_chat_templates_inputs inputs = ask(/*with_tools=*/true);
    inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    common_chat_params params = common_chat_templates_apply(templates.get(), inputs);
    forbid_text_before_calls(inputs, params);
    const bool thinking =
        !params.thinking_end_tags.empty() && !params.thinking_start_tag.empty() &&
        params.generation_prompt.find(params.thinking_start_tag) != std::string::npos &&
        params.generation_prompt.find(params.thinking_end_tags.front()) == std::string::npos;
    return {.grammar = params.grammar,
            .prompt = params.generation_prompt,
            .thinking_end = thinking ? params.thinking_end_tags.front() : ""};
}

// How many bytes of an output the grammar allows: all of them and one more where it may end then.
std::size_t fits(const Required &required, const std::string &output) {
    static const TestVocabulary vocabulary;
    SamplingParams params;
    params.grammar = required.grammar;
    params.of_template.grammar_prefix = required.prompt;
    Grammar grammar(vocabulary.get(), params);
    std::size_t n_bytes = 0;
    for (const TokenId token : vocabulary.tokenize(output)) {
        if (!grammar.allows(token)) {
            return n_bytes;
        }
        grammar.accept(token);
        n_bytes += vocabulary.piece(token).size();
    }
    return n_bytes + (grammar.allows(vocabulary.end()) ? 1 : 0);
}

} // namespace

TEST("where a call is required, one fits, also after thinking, and text before it does not") {
    for (const Said &said : said_calls) {
        const Required required = required_by(said.family);
        std::string call = said.output;
        if (!said.content.empty()) {
            call.erase(call.find(said.content), said.content.size());
        }
        CHECK_EQ(said.family + " " + std::to_string(fits(required, call)),
                 said.family + " " + std::to_string(call.size() + 1));
        const std::size_t place = said.content.empty() ? call.size() : said.output.find(said.content);
        if (place < call.size()) {
            CHECK(fits(required, said.output) < place + said.content.size());
        }
    }
}

TEST("no template lets a model chat that has to call") {
    const std::string chat = "Hello! I would rather not call a function, but tell you what I think of them.";
    std::size_t n_checked = 0;
    for (const auto &entry : std::filesystem::directory_iterator(LLAMAD_TEST_TEMPLATES)) {
        if (entry.path().extension() != ".jinja") {
            continue;
        }
        const std::string family = entry.path().stem();
        const Required required = required_by(family);
        if (required.grammar.empty()) { // tools are spelled out
            continue;
        }
        const std::size_t n_fit = fits(required, required.thinking_end + chat);
        if (n_fit >= required.thinking_end.size() + 5) {
            check::fail(__FILE__, __LINE__, family + " allows to chat");
        }
        ++n_checked;
    }
    CHECK(n_checked > 40);
}

} // namespace llamad
