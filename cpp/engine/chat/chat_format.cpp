#include "chat/chat_format.h"

#include <algorithm>
#include <memory>
#include <set>
#include <type_traits>
#include <variant>

#include "chat-peg-parser.h"

#include "chat/nesting.h"

namespace llamad {

namespace {

// llama.cpp's parser calls itself for each array or object in another, which takes under 3 KiB of stack.
// Threads have 8 MiB.
constexpr std::size_t kMostNested = 1000;

constexpr std::string_view kWhiteSpace = " \t\r\n";

// Adds what ends the text that parser `id` takes.
class EndsOfText {
  public:
    EndsOfText(const common_peg_arena &parser, ChatFormat::Ends &ends) : parser_(parser), ends_(ends) {}

    void add(common_peg_parser_id id) {
        if (!seen_.insert(id).second) {
            return;
        }
        std::visit([this](const auto &parser) { add_of(parser); }, parser_.get(id));
    }

  private:
    template <typename Parser> void add_of(const Parser &parser) {
        if constexpr (std::is_same_v<Parser, common_peg_until_parser>) {
            ends_.markers.insert(ends_.markers.end(), parser.delimiters.begin(), parser.delimiters.end());
        } else if constexpr (std::is_same_v<Parser, common_peg_sequence_parser>) {
            for (const common_peg_parser_id child : parser.children) {
                add(child);
            }
        } else if constexpr (std::is_same_v<Parser, common_peg_ref_parser>) {
            add(parser_.get_rule(parser.name));
        } else if constexpr (std::is_same_v<Parser, common_peg_rule_parser> ||
                             std::is_same_v<Parser, common_peg_tag_parser> ||
                             std::is_same_v<Parser, common_peg_atomic_parser> ||
                             std::is_same_v<Parser, common_peg_gbnf_parser> ||
                             std::is_same_v<Parser, common_peg_ac_parser>) {
            add(parser.child);
        } else if constexpr (!std::is_same_v<Parser, common_peg_literal_parser> &&
                             !std::is_same_v<Parser, common_peg_space_parser> &&
                             !std::is_same_v<Parser, common_peg_epsilon_parser>) {
            ends_.known = false;
        }
    }

    const common_peg_arena &parser_;
    ChatFormat::Ends &ends_;
    std::set<common_peg_parser_id> seen_;
};

std::unique_ptr<common_chat_peg_mapper> mapper_of(common_chat_format format, common_chat_msg &message) {
    if (format == COMMON_CHAT_FORMAT_PEG_GEMMA4) {
        return std::make_unique<common_chat_peg_gemma4_mapper>(message);
    }
    if (format == COMMON_CHAT_FORMAT_PEG_MINIMAX_M3) {
        return std::make_unique<common_chat_peg_minimax_m3_mapper>(message);
    }
    return std::make_unique<common_chat_peg_mapper>(message);
}

bool is_of_call(const std::string &tag) { return tag.starts_with(common_chat_peg_builder::TOOL); }

} // namespace

ChatFormat::ChatFormat(const common_chat_params &params)
    : format_(params.format), prompt_(params.generation_prompt), markup_(params.preserved_tokens) {
    if (params.parser.empty()) {
        parser_ = build_chat_peg_parser([this](common_chat_peg_builder &p) {
            return p.literal(prompt_) + p.content(p.rest()) + p.end();
        });
    } else {
        parser_.load(params.parser);
    }
    inspect();
}

void ChatFormat::inspect() {
    bool says_more = false; // than the prompt does
    for (common_peg_parser_id id = 0; id < parser_.size(); ++id) {
        const common_peg_parser_variant &parser = parser_.get(id);
        if (const auto *literal = std::get_if<common_peg_literal_parser>(&parser)) {
            says_more = says_more || prompt_.find(literal->literal) == std::string::npos;
        } else if (const auto *string = std::get_if<common_peg_string_parser>(&parser)) {
            json_only_ = json_only_ && string->delimiter == '"';
        } else if (const auto *tag = std::get_if<common_peg_tag_parser>(&parser)) {
            if (tag->tag == common_chat_peg_builder::CONTENT) {
                EndsOfText(parser_, content_).add(tag->child);
            } else if (tag->tag == common_chat_peg_builder::REASONING) {
                EndsOfText(parser_, reasoning_).add(tag->child);
                has_reasoning_ = true;
            } else {
                has_tools_ = has_tools_ || is_of_call(tag->tag);
            }
        }
    }
    json_only_ = json_only_ && format_ != COMMON_CHAT_FORMAT_PEG_GEMMA4;
    plain_ = !says_more && !has_tools_ && !has_reasoning_ && content_.known && content_.markers.empty() &&
             read("x").message.content == read("").message.content + "x";
}

ChatReading ChatFormat::read(const std::string &output) const {
    common_peg_parse_context context(prompt_ + output, COMMON_PEG_PARSE_FLAG_LENIENT);
    const common_peg_parse_result result = parser_.parse(context);
    ChatReading reading;
    if (result.fail()) {
        return reading;
    }
    reading.state = result.success() ? ChatReading::State::kFits : ChatReading::State::kUnfinished;
    reading.message.role = "assistant";
    mapper_of(format_, reading.message)->from_ast(context.ast, result);

    const auto in_output = [this](std::size_t place) { return place - std::min(place, prompt_.size()); };
    context.ast.visit(result, [&](const common_peg_ast_node &node) {
        const bool is_reasoning = node.tag == common_chat_peg_builder::REASONING;
        const bool is_text = is_reasoning || node.tag == common_chat_peg_builder::CONTENT;
        if (!is_text && !is_of_call(node.tag)) {
            return;
        }
        reading.ends_in_call = !is_text;
        const std::size_t end = in_output(node.end);
        if (is_text) {
            reading.text_end = std::max(reading.text_end, end);
        }
        // What merely opens a call may yet turn out to be text.
        if (node.tag != common_chat_peg_builder::TOOL && node.tag != common_chat_peg_builder::TOOL_OPEN) {
            reading.end = std::max(reading.end, end);
        }
        // An empty text may be a place where the output has yet to say what it is.
        reading.open =
            is_text && result.need_more_input() && node.end == context.input.size() && node.end > node.start;
        if (is_text) {
            reading.last = is_reasoning ? TextKind::kReasoning : TextKind::kContent;
        }
    });
    if (reading.state == ChatReading::State::kFits) {
        reading.consumed = in_output(result.end);
    }
    return reading;
}

std::string_view ChatFormat::without_markup(std::string_view text) const {
    const auto length_of_markup = [&]() -> std::size_t {
        if (kWhiteSpace.find(text.front()) != std::string_view::npos) {
            return 1;
        }
        const auto marker = std::find_if(markup_.begin(), markup_.end(), [text](const std::string &word) {
            return !word.empty() && text.starts_with(word);
        });
        return marker == markup_.end() ? 0 : marker->size();
    };
    while (!text.empty()) {
        const std::size_t length = length_of_markup();
        if (length == 0) {
            break;
        }
        text.remove_prefix(length);
    }
    return text;
}

bool ChatFormat::nests_too_deep(std::string_view text) const {
    if (!has_tools_) {
        return false;
    }
    if (json_only_) {
        return deepest_nesting(text) > kMostNested;
    }
    // Other strings than JSON's may hide brackets that close: only those that open count.
    const auto opens = [](char c) { return c == '[' || c == '{'; };
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), opens)) > kMostNested;
}

} // namespace llamad
