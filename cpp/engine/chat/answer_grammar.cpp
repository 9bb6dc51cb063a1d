#include "chat/answer_grammar.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <string_view>
#include <vector>

namespace llamad {

namespace {

constexpr std::string_view kAnswer = "llamad-answer";

// gpt-oss answers in a message of its own.
constexpr std::string_view kChannel = "<|channel|>";
constexpr std::string_view kNextMessage = "<|start|>assistant";
constexpr std::string_view kFinalMessage = "<|channel|>final<|message|>";

bool is_name_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-'; }

// The place after what begins at `from`, inside of which no rule is named: a string, a class, a token or a
// comment. `from` itself where nothing of the kind begins.
std::size_t skip_quoted(std::string_view grammar, std::size_t from) {
    constexpr std::string_view kBegin = "\"[<#";
    constexpr std::string_view kEnd = "\"]>\n";
    const std::size_t kind = kBegin.find(grammar[from]);
    if (kind == std::string_view::npos) {
        return from;
    }
    std::size_t place = from + 1;
    while (place < grammar.size() && grammar[place] != kEnd[kind]) {
        place += grammar[place] == '\\' && kEnd[kind] != '\n' ? 2 : 1;
    }
    return std::min(place + 1, grammar.size());
}

// `grammar` with its rule "root" under another name.
std::string with_root_named(std::string_view grammar, std::string_view name) {
    std::string renamed;
    std::size_t place = 0;
    while (place < grammar.size()) {
        std::size_t end = skip_quoted(grammar, place);
        if (end == place && is_name_character(grammar[place])) {
            while (end < grammar.size() && is_name_character(grammar[end])) {
                ++end;
            }
        }
        const std::string_view piece = grammar.substr(place, std::max<std::size_t>(end - place, 1));
        renamed += piece == "root" ? name : piece;
        place += piece.size();
    }
    return renamed;
}

std::vector<char32_t> code_points(std::string_view utf8) {
    std::vector<char32_t> points;
    for (const char c : utf8) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte & 0xC0U) == 0x80U && !points.empty()) {
            points.back() = (points.back() << 6U) | (byte & 0x3FU);
        } else {
            const unsigned mask = byte >= 0xF0U   ? 0x07U
                                  : byte >= 0xE0U ? 0x0FU
                                  : byte >= 0xC0U ? 0x1FU
                                                  : 0x7FU;
            points.push_back(byte & mask);
        }
    }
    return points;
}

std::string escaped(char32_t point) {
    std::array<char, 12> text{};
    std::snprintf(text.data(), text.size(), "\\U%08X", static_cast<unsigned>(point));
    return text.data();
}

std::string literal(std::string_view text) {
    std::string quoted = "\"";
    for (const char32_t point : code_points(text)) {
        quoted += escaped(point);
    }
    return quoted + '"';
}

// Rules that take everything up to and including the first `end`: the automaton of Knuth, Morris and Pratt,
// a rule for each state. Returns the name of the first.
std::string add_text_until(std::string_view end, std::string &rules) {
    const std::vector<char32_t> word = code_points(end);
    const auto name_of = [](std::size_t state) { return "llamad-thought-" + std::to_string(state); };
    // How much of the word there is after `said` characters of it and then `next`.
    const auto follow = [&word](std::size_t said, char32_t next) {
        std::vector<char32_t> text(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(said));
        text.push_back(next);
        for (std::size_t length = text.size(); length > 0; --length) {
            if (std::equal(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(length),
                           text.end() - static_cast<std::ptrdiff_t>(length))) {
                return length;
            }
        }
        return std::size_t{0};
    };
    std::vector<char32_t> alphabet = word;
    std::sort(alphabet.begin(), alphabet.end());
    alphabet.erase(std::unique(alphabet.begin(), alphabet.end()), alphabet.end());
    for (std::size_t state = 0; state < word.size(); ++state) {
        std::string alternatives;
        std::string others;
        for (const char32_t point : alphabet) {
            const std::size_t next = follow(state, point);
            if (next > 0) {
                others += escaped(point);
                alternatives.append("[").append(escaped(point)).append("] ");
                alternatives.append(next == word.size() ? "" : name_of(next)).append(" | ");
            }
        }
        rules.append(name_of(state)).append(" ::= ").append(alternatives);
        rules.append("[^").append(others).append("] ").append(name_of(0)).append("\n");
    }
    return name_of(0);
}

std::string_view trimmed(std::string_view text) {
    constexpr const char *kWhiteSpace = " \t\r\n";
    const std::size_t begin = std::min(text.find_first_not_of(kWhiteSpace), text.size());
    return text.substr(begin, text.find_last_not_of(kWhiteSpace) + 1 - begin);
}

} // namespace

std::string after_thinking(const std::string &answer, const Thinking &thinking) {
    std::string rules = with_root_named(answer, kAnswer) + "\n";
    const bool in_messages = thinking.start.starts_with(kChannel);
    // The others of the ends begin something else than an answer.
    const std::string thought = add_text_until(trimmed(thinking.ends.front()), rules);
    rules += "root ::= ";
    if (!thinking.open) {
        rules.append("( ").append(literal(thinking.start)).append(" ");
    }
    rules.append(thought).append(" ").append(in_messages ? literal(kNextMessage) : "");
    rules.append(thinking.open ? " " : " )? ");
    rules.append(in_messages ? literal(kFinalMessage) : "[ \\n\\t]{0,4}");
    return rules.append(" ").append(kAnswer).append("\n");
}

} // namespace llamad
