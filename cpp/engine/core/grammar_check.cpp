#include "core/grammar_check.h"

#include <cstddef>
#include <cstdint>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "core/gbnf.h"

namespace llamad {

namespace {

constexpr std::size_t kMostBytes = 262'144;
constexpr std::uint64_t kMostWays = 2048;    // tokens and references that can come next, at one place
constexpr std::uint64_t kMostSkipping = 256; // of these, those that come only if something is left out

// What llama.cpp follows from one place in the grammar before it reads a character.
struct Opening {
    std::uint64_t ways = 0;
    std::uint64_t direct = 0; // of these, those that leave nothing out
    bool optional = false;    // nothing need come at all
};

// Openings of all rules; a rule that begins with itself adds nothing the second time, for llama.cpp refuses
// it.
class Openings {
  public:
    explicit Openings(const std::vector<GrammarRule> &rules)
        : rules_(rules), known_(rules.size()), openings_(rules.size()) {}

    // Throws GrammarError where there is too much to follow, at the beginning of a rule or within.
    void check() {
        for (std::size_t rule = 0; rule < rules_.size(); ++rule) {
            of_rule(rule, 0);
        }
        for (const GrammarRule &rule : rules_) {
            for (const GrammarSequence &sequence : rule) {
                check_places(sequence);
            }
        }
    }

  private:
    Opening of_rule(std::size_t rule, std::size_t depth) {
        if (known_[rule]) {
            return openings_[rule];
        }
        if (depth > 2 * kMostGrammarDepth) { // a group is a rule too
            refuse_grammar("have at most " + std::to_string(2 * kMostGrammarDepth) +
                           " rules that begin with each other");
        }
        known_[rule] = true;
        Opening opening;
        for (const GrammarSequence &sequence : rules_[rule]) {
            bool optional = true;
            for (std::size_t i = 0; i < sequence.size() && optional; ++i) {
                const Opening next = of_item(sequence[i], depth);
                opening.ways += next.ways;
                optional = next.optional;
                check_ways(opening.ways);
            }
            opening.optional = opening.optional || optional;
        }
        openings_[rule] = opening;
        return opening;
    }

    Opening of_item(const GrammarItem &item, std::size_t depth) {
        const Opening inner = item.rule ? of_rule(*item.rule, depth + 1) : Opening{};
        const std::uint64_t in_a_row = inner.optional ? item.copies : 1;
        const std::uint64_t direct = inner.ways + 1;
        return {.ways = direct * in_a_row, .direct = direct, .optional = inner.optional || item.optional};
    }

    static void check_ways(std::uint64_t ways) {
        if (ways > kMostWays) {
            refuse_grammar("leave at most " + std::to_string(kMostWays) + " ways to go on at any place");
        }
    }

    // From the end: what a place opens is what its item does and, if that may be left out, the place after
    // it.
    void check_places(const GrammarSequence &sequence) {
        std::uint64_t ways = 0;
        for (const GrammarItem &item : std::views::reverse(sequence)) {
            const Opening opening = of_item(item, 0);
            ways = opening.ways + (opening.optional ? ways : 0);
            check_ways(ways);
            if (ways - opening.direct > kMostSkipping) {
                refuse_grammar("leave at most " + std::to_string(kMostSkipping) +
                               " ways to go on by leaving something out");
            }
        }
    }

    const std::vector<GrammarRule> &rules_;
    std::vector<bool> known_;
    std::vector<Opening> openings_;
};

} // namespace

void check_grammar(const std::string &grammar) {
    if (grammar.size() > kMostBytes) {
        refuse_grammar("have at most " + std::to_string(kMostBytes) + " bytes, got " +
                       std::to_string(grammar.size()));
    }
    // llama.cpp stops at a zero byte.
    const std::vector<GrammarRule> rules = read_gbnf(std::string_view(grammar).substr(0, grammar.find('\0')));
    Openings(rules).check();
}

} // namespace llamad
