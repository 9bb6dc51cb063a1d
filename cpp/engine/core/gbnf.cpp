#include "core/gbnf.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "core/errors.h"

namespace llamad {

namespace {

constexpr std::uint64_t kMostElements = 1 << 20; // characters and references
constexpr std::uint64_t kMostRepetitions = 2000; // llama.cpp takes a larger upper limit for none
constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

// Reads GBNF as llama.cpp's parser does. A group becomes a rule without a name.
class Reader {
  public:
    explicit Reader(std::string_view text) : text_(text) {}

    std::vector<GrammarRule> read() {
        skip_space(/*newlines=*/true);
        while (at_ < text_.size()) {
            const std::size_t rule = rule_named(name());
            skip_space(/*newlines=*/false);
            for (const char c : std::string_view("::=")) {
                expect(c);
            }
            skip_space(/*newlines=*/true);
            GrammarRule alternatives = read_alternatives(/*depth=*/0);
            rules_[rule] = std::move(alternatives);
            if (at_ < text_.size() && peek() != '\n' && peek() != '\r') {
                invalid();
            }
            skip_space(/*newlines=*/true);
        }
        for (const auto &[name, rule] : names_) {
            if (rules_[rule].empty()) {
                refuse_grammar("define the rule \"" + std::string(name) + "\"");
            }
        }
        return std::move(rules_);
    }

  private:
    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    [[noreturn]] void invalid() const {
        const auto line =
            std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n') + 1;
        throw GrammarError("grammar", "grammar is not valid GBNF: see line " + std::to_string(line));
    }

    void expect(char c) {
        if (peek() != c) {
            invalid();
        }
        ++at_;
    }

    void skip_space(bool newlines) {
        bool comment = false;
        for (; at_ < text_.size(); ++at_) {
            const char c = text_[at_];
            const bool newline = c == '\n' || c == '\r';
            comment = !newline && (comment || c == '#');
            if (!comment && c != ' ' && c != '\t' && !(newline && newlines)) {
                return;
            }
        }
    }

    static bool in_name(char c) {
        return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
    }
    static bool is_digit(char c) { return c >= '0' && c <= '9'; }

    std::string_view name() {
        const std::size_t start = at_;
        while (in_name(peek())) {
            ++at_;
        }
        if (at_ == start) {
            invalid();
        }
        return text_.substr(start, at_ - start);
    }

    std::size_t rule_named(std::string_view name) {
        const auto [entry, added] = names_.try_emplace(name, rules_.size());
        if (added) {
            rules_.emplace_back();
        }
        return entry->second;
    }

    GrammarItem reference_to(GrammarRule rule) {
        rules_.push_back(std::move(rule));
        GrammarItem item;
        item.rule = rules_.size() - 1;
        return item;
    }

    void count(std::uint64_t elements) {
        n_elements_ += std::min(elements, kMostElements + 1);
        if (n_elements_ > kMostElements) {
            refuse_grammar("have at most " + std::to_string(kMostElements) +
                           " characters and references once its repetitions are written out");
        }
    }

    GrammarRule read_alternatives(std::size_t depth) {
        GrammarRule rule{read_sequence(depth)};
        while (peek() == '|') {
            ++at_;
            skip_space(/*newlines=*/true);
            rule.push_back(read_sequence(depth));
        }
        return rule;
    }

    GrammarSequence read_sequence(std::size_t depth) {
        GrammarSequence sequence;
        while (true) {
            if (std::string_view("*+?{").find(peek()) != std::string_view::npos && peek() != '\0') {
                if (sequence.empty()) {
                    invalid();
                }
                repeat(sequence.back());
            } else if (const std::optional<GrammarItem> item = read_item(depth)) {
                count(item->elements);
                sequence.push_back(*item);
            } else {
                return sequence;
            }
            skip_space(/*newlines=*/depth > 0);
        }
    }

    std::optional<GrammarItem> read_item(std::size_t depth) {
        GrammarItem item;
        const char c = peek();
        if (in_name(c)) {
            item.rule = rule_named(name());
        } else if (c == '"' || c == '[') {
            item.elements = read_until(c == '"' ? '"' : ']');
            item.optional = item.elements == 0; // "" is nothing
        } else if (c == '.') {
            ++at_;
        } else if (c == '<' || c == '!') {
            at_ += c == '!' ? 1 : 0;
            read_until('>');
        } else if (c == '(') {
            if (depth == kMostGrammarDepth) {
                refuse_grammar("nest at most " + std::to_string(kMostGrammarDepth) + " groups");
            }
            ++at_;
            skip_space(/*newlines=*/true);
            item = reference_to(read_alternatives(depth + 1));
            expect(')');
        } else {
            return std::nullopt;
        }
        return item;
    }

    // From an opening character to behind the closing one; the number of characters between, or more.
    std::uint64_t read_until(char closing) {
        const std::size_t start = ++at_;
        while (peek() != closing) {
            at_ += peek() == '\\' && closing != '>' ? 2 : 1;
            if (at_ >= text_.size()) {
                at_ = start - 1;
                invalid();
            }
        }
        return at_++ - start;
    }

    std::uint64_t number() {
        if (!is_digit(peek())) {
            invalid();
        }
        std::uint64_t value = 0;
        for (; is_digit(peek()); ++at_) {
            value =
                std::min<std::uint64_t>(value * 10 + static_cast<std::uint64_t>(peek() - '0'), kMostElements);
        }
        skip_space(/*newlines=*/true);
        return value;
    }

    // How often the last item may stand: at least and at most.
    std::pair<std::uint64_t, std::uint64_t> read_repetition() {
        const char c = text_[at_++];
        if (c != '{') {
            return {c == '+' ? 1 : 0, c == '?' ? 1 : kUnlimited};
        }
        skip_space(/*newlines=*/true);
        const std::uint64_t least = number();
        std::uint64_t most = least;
        if (peek() == ',') {
            ++at_;
            skip_space(/*newlines=*/true);
            most = peek() == '}' ? kUnlimited : number();
        }
        expect('}');
        return {least, most > kMostRepetitions ? kUnlimited : most};
    }

    void repeat(GrammarItem &item) {
        const auto [least, most] = read_repetition();
        if (item.repeated) {
            item = reference_to({{item}});
        }
        item.repeated = true;
        item.optional = item.optional || least == 0;
        item.copies = std::max<std::uint64_t>(most == kUnlimited ? least + 1 : most, 1);
        count(item.copies * (item.elements + 3)); // each copy may become a rule of its own
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::uint64_t n_elements_ = 0;
    std::vector<GrammarRule> rules_;
    std::map<std::string_view, std::size_t> names_;
};

} // namespace

void refuse_grammar(const std::string &must) { throw GrammarError("grammar", "grammar must " + must); }

std::vector<GrammarRule> read_gbnf(std::string_view text) { return Reader(text).read(); }

} // namespace llamad
