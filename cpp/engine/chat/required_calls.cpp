#include "chat/required_calls.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "chat-peg-parser.h"
#include "peg-parser.h"

namespace llamad {

namespace {

using Id = common_peg_parser_id;

// GBNF of what may come between thinking and a call, and of what nothing fits.
constexpr const char *kSpace = R"([ \n\t]{0,4})";
constexpr const char *kImpossible = R"([^\x00-\U0010FFFF])";

std::vector<Id> children_of(const common_peg_arena &parser, Id id) {
    return std::visit(
        [&parser](const auto &some) -> std::vector<Id> {
            using Parser = std::decay_t<decltype(some)>;
            if constexpr (std::is_same_v<Parser, common_peg_ref_parser>) {
                return {parser.get_rule(some.name)};
            } else if constexpr (requires { some.children; }) {
                return some.children;
            } else if constexpr (requires { some.child; }) {
                return {some.child};
            } else {
                return {};
            }
        },
        parser.get(id));
}

// Finds the rules of a parser's grammar that stand for text.
class TextRules {
  public:
    explicit TextRules(const common_peg_arena &parser) : parser_(parser), seen_(parser.size()) {}

    // By name, what they are to be instead. Where nothing need stand in the place of the text, nothing may,
    // so that no frame is left of it.
    std::map<std::string, std::string> find() {
        visit(parser_.root(), {});
        std::map<std::string, std::string> instead;
        for (const auto &[id, place] : texts_) {
            if (std::ranges::find(others_, id) == others_.end()) {
                instead["until-" + std::to_string(id)] = place.avoidable ? kImpossible : kSpace;
            } else if (!place.rule.empty()) { // what it has in common with others stays
                instead[place.rule] = kImpossible;
            }
        }
        return instead;
    }

  private:
    static constexpr const char *kText = common_chat_peg_builder::CONTENT;
    static constexpr const char *kThoughts = common_chat_peg_builder::REASONING;

    struct Place {
        bool in_text = false;
        bool avoidable = false; // something else may be chosen
        std::string rule;       // the outermost that is avoided with it
    };

    void visit(Id id, Place place) {
        if (std::exchange(seen_[id][place.in_text ? 1 : 0], true)) {
            return;
        }
        const common_peg_parser_variant &some = parser_.get(id);
        if (std::holds_alternative<common_peg_until_parser>(some)) {
            if (place.in_text) {
                texts_.emplace_back(id, std::move(place));
            } else {
                others_.push_back(id);
            }
            return;
        }
        if (const auto *rule = std::get_if<common_peg_rule_parser>(&some);
            rule != nullptr && place.avoidable && place.rule.empty()) {
            place.rule = rule->name;
        }
        place.in_text = place.in_text || is_tagged(id, kText);
        const std::vector<Id> children = children_of(parser_, id);
        const bool may_avoid = std::holds_alternative<common_peg_choice_parser>(some) &&
                               std::ranges::any_of(children, [this](Id child) { return !has(child, kText); });
        for (const Id child : children) {
            const bool avoids = may_avoid && has(child, kText) && !has(child, kThoughts);
            visit(child, avoids ? Place{.in_text = place.in_text, .avoidable = true, .rule = {}} : place);
        }
    }

    bool is_tagged(Id id, const char *name) const {
        const auto *tag = std::get_if<common_peg_tag_parser>(&parser_.get(id));
        return tag != nullptr && tag->tag == name;
    }

    bool has(Id id, const char *name) {
        const auto [known, added] = has_[name].try_emplace(id, is_tagged(id, name));
        if (added && !known->second) {
            const std::vector<Id> children = children_of(parser_, id);
            has_[name][id] = std::ranges::any_of(children, [&](Id child) { return has(child, name); });
        }
        return has_[name][id];
    }

    const common_peg_arena &parser_;
    std::vector<std::array<bool, 2>> seen_;              // outside and inside of text
    std::map<std::string_view, std::map<Id, bool>> has_; // by tag, what it is in or below
    std::vector<std::pair<Id, Place>> texts_;
    std::vector<Id> others_;
};

// GBNF, a rule a line, with other rules in place of some.
std::string with_rules(const std::string &grammar, const std::map<std::string, std::string> &instead) {
    std::string changed;
    std::string_view rest = grammar;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, std::min(rest.find('\n'), rest.size() - 1) + 1);
        rest.remove_prefix(line.size());
        const auto rule = instead.find(std::string(line.substr(0, line.find(" ::= "))));
        if (rule == instead.end()) {
            changed += line;
        } else {
            changed.append(rule->first).append(" ::= ").append(rule->second).append("\n");
        }
    }
    return changed;
}

} // namespace

void forbid_text_before_calls(const common_chat_templates_inputs &inputs, common_chat_params &params) {
    const bool thinks_aloud =
        inputs.reasoning_format == COMMON_REASONING_FORMAT_NONE && params.supports_thinking;
    if (inputs.tool_choice != COMMON_CHAT_TOOL_CHOICE_REQUIRED || params.grammar.empty() ||
        params.grammar_lazy || thinks_aloud) {
        return;
    }
    common_peg_arena parser;
    parser.load(params.parser);
    params.grammar = with_rules(params.grammar, TextRules(parser).find());
}

} // namespace llamad
