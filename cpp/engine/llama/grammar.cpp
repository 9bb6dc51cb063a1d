#include "llama/grammar.h"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>

#include "core/errors.h"
#include "core/grammar_check.h"
#include "core/logit_scan.h"

#include "../src/llama-grammar.h" // from llama.cpp's include directory: its parser is no part of its API

namespace llamad {

namespace {

using Kind = GrammarElement::Kind;

static_assert(static_cast<int>(Kind::kRule) == LLAMA_GRETYPE_RULE_REF &&
              static_cast<int>(Kind::kCharUpper) == LLAMA_GRETYPE_CHAR_RNG_UPPER &&
              static_cast<int>(Kind::kCharAlso) == LLAMA_GRETYPE_CHAR_ALT &&
              static_cast<int>(Kind::kTokenNot) == LLAMA_GRETYPE_TOKEN_NOT);

GrammarAutomaton read_grammar(const llama_vocab *vocab, const std::string &source) {
    check_grammar(source);
    constexpr const char *kRoot = "root";
    llama_grammar_parser parser(vocab);
    std::unique_ptr<llama_grammar, void (*)(llama_grammar *)> checked(nullptr, llama_grammar_free_impl);
    if (parser.parse(source.c_str()) && parser.symbol_ids.contains(kRoot)) {
        llama_grammar_stack rules = parser.c_rules();
        // Refuses rules that begin with themselves.
        checked.reset(
            llama_grammar_init_impl(vocab, rules.data(), rules.size(), parser.symbol_ids.at(kRoot)));
    }
    if (checked == nullptr) { // all that llama.cpp says is that it failed
        throw GrammarError("grammar", "grammar is not valid GBNF with a rule named \"root\"");
    }
    std::vector<std::vector<GrammarElement>> rules;
    for (const llama_grammar_rule &rule : llama_grammar_get_rules(checked.get())) {
        for (std::vector<GrammarElement> &elements = rules.emplace_back(); const auto &[type, value] : rule) {
            elements.push_back({.kind = static_cast<Kind>(type), .value = value});
        }
    }
    return {rules, parser.symbol_ids.at(kRoot)};
}

} // namespace

Grammar::Grammar(const llama_vocab *vocab, const SamplingParams &params)
    : vocab_(vocab), automaton_(read_grammar(vocab, params.grammar)),
      place_{.state = automaton_.start(), .text = {}} {
    const TemplateSampling &of_template = params.of_template;
    if (!of_template.triggers.empty()) {
        watch_.emplace(of_template.triggers, of_template.thinking);
    } else if (const std::optional<Place> place = after(place_, of_template.grammar_prefix)) {
        go_to(place);
    } else {
        throw GrammarError("grammar", "the grammar does not begin with what the prompt ends with");
    }
}

bool Grammar::allows(TokenId token) {
    if (waiting()) {
        return true;
    }
    if (llama_vocab_is_eog(vocab_, token)) {
        return place_.text.is_whole() && automaton_.may_end(place_.state);
    }
    return after(token).has_value();
}

void Grammar::keep_allowed(llama_token_data_array &array) {
    const auto *end =
        std::remove_if(array.data, array.data + array.size, [this](const llama_token_data &candidate) {
            return !(candidate.logit > kImpossible && allows(candidate.id));
        });
    array.size = static_cast<std::size_t>(end - array.data);
}

void Grammar::accept(TokenId token) {
    if (llama_vocab_is_eog(vocab_, token)) {
        return;
    }
    if (!watch_) {
        return go_to(after(token));
    }
    if (const std::optional<std::string> begun = watch_->push(text_of(token))) {
        // Else the word was said, but not as the beginning of what the grammar says.
        if (const std::optional<Place> place = after(place_, *begun)) {
            go_to(place);
            watch_.reset();
        } else {
            go_to(place_);
        }
    }
}

void Grammar::go_to(const std::optional<Place> &place) {
    if (!place) {
        throw std::runtime_error("the grammar does not allow the token that was taken");
    }
    place_ = *place;
    place_.state = automaton_.settle(place_.state);
}

std::optional<Grammar::Place> Grammar::after(const Place &place, std::string_view text) {
    Place next = place;
    for (const char byte : text) {
        if (byte == '\0' || !next.text.take(static_cast<std::uint8_t>(byte))) {
            return std::nullopt;
        }
        if (next.text.is_whole()) {
            next.state = automaton_.after(next.state, next.text.lowest());
        }
        if (next.state == GrammarAutomaton::kDead) {
            return std::nullopt;
        }
    }
    const bool fits =
        next.text.is_whole() || automaton_.takes_some(next.state, next.text.lowest(), next.text.highest());
    return fits ? std::optional(next) : std::nullopt;
}

// A token may be asked for as such, and as its text.
std::optional<Grammar::Place> Grammar::after(TokenId token) {
    const std::string text = text_of(token);
    if (text.empty()) { // it would change nothing, for ever
        return std::nullopt;
    }
    std::optional<Place> next = after(place_, text);
    if (place_.text.is_whole()) {
        const GrammarAutomaton::State state = automaton_.after_token(place_.state, token);
        if (state != GrammarAutomaton::kDead) {
            next = {.state = automaton_.either(state, next ? next->state : GrammarAutomaton::kDead),
                    .text = next ? next->text : Utf8Reader()};
        }
    }
    return next;
}

std::string Grammar::text_of(TokenId token) const {
    std::string text(15, '\0'); // what most need, and what a string has without allocating
    const auto write = [&] {
        return llama_token_to_piece(vocab_, token, text.data(), static_cast<std::int32_t>(text.size()), 0,
                                    /*special=*/true);
    };
    std::int32_t n = write();
    if (n < 0) {
        text.resize(static_cast<std::size_t>(-n));
        n = write();
    }
    text.resize(static_cast<std::size_t>(std::max(n, 0)));
    return text;
}

} // namespace llamad
