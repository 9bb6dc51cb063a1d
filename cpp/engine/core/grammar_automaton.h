// What a grammar allows next, and what after that.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "core/types.h"

namespace llamad {

// The elements of a rule, as llama.cpp's parser of GBNF has them: alternatives of terminals and references. A
// class of characters is kChar, kCharNot or kCharAny, perhaps with kCharUpper, and any number of kCharAlso,
// each perhaps with kCharUpper.
struct GrammarElement {
    enum class Kind : std::uint8_t {
        kEnd,         // of the rule
        kAlternative, // the end of one, and another
        kRule,        // value: index of the rule
        kChar,        // value: code point
        kCharNot,
        kCharUpper, // makes the code point before it a range up to this one
        kCharAlso,
        kCharAny,
        kToken, // value: token
        kTokenNot,
    };
    Kind kind;
    std::uint32_t value;
};

// A grammar can mostly be read in several ways: a place in it is a stack of what is still to come, and a
// state is the set of all such stacks. Stacks share their lower parts and equal sets are one state, so that
// ways that meet again are followed once, and what is known of a state serves all tokens that lead through
// it.
//
// One thread at a time.
class GrammarAutomaton {
  public:
    using State = std::uint32_t;
    static constexpr State kDead = 0; // nothing fits any more

    // No rule may begin with itself. The references must be to rules.
    GrammarAutomaton(const std::vector<std::vector<GrammarElement>> &rules, std::size_t root);

    // Valid until settle().
    State start() const { return start_; }

    // These throw std::runtime_error where following the grammar has taken too much work since settle().
    State after(State state, char32_t character);
    State after_token(State state, TokenId token); // what is asked for as a token, not as its text
    State either(State one, State other);

    // Whether one of the characters from `low` to `high` fits.
    bool takes_some(State state, char32_t low, char32_t high);

    bool may_end(State state) const;

    // Goes on from `state` alone: forgets others where they have become many. Returns its new name.
    State settle(State state);

  private:
    using Node = std::uint32_t; // a stack: its top and the stack below
    struct NodeData {
        std::uint32_t element; // index into elements_
        Node below;
    };
    struct StateData {
        explicit StateData(std::vector<Node> in) : stacks(std::move(in)) { ascii.fill(kUnknown); }

        std::vector<Node> stacks; // in ascending order
        std::array<State, 128> ascii{};
        // Further characters that no stack tells apart are one class; known once one of them is asked for.
        std::vector<char32_t> classes; // where each begins, in ascending order
        std::vector<State> after_class;
    };
    static constexpr State kUnknown = 0xFFFFFFFF;
    static constexpr std::size_t kManyNodes = 1 << 16;
    static constexpr Node kBottom = 0; // nothing is to come

    GrammarElement::Kind kind_at(std::uint32_t element) const { return elements_[element].kind; }
    bool is_token(std::uint32_t element) const;
    bool is_text(Node stack) const;
    void add_rule(const std::vector<GrammarElement> &rule);
    bool matches(std::uint32_t terminal, char32_t low, char32_t high);
    void classify_characters(State state);
    std::size_t class_of(State state, char32_t character);
    Node push(std::uint32_t element, Node below);
    void open(Node stack);
    State opened();
    void charge(std::size_t work);
    std::vector<Node> forget_all_but(std::vector<Node> stacks);

    std::vector<GrammarElement> elements_; // of all rules
    std::vector<std::uint32_t> behind_;    // for each element that is a terminal, what comes next
    std::vector<std::vector<std::uint32_t>> alternatives_; // of each rule, where they begin
    bool has_tokens_ = false;
    std::vector<NodeData> nodes_; // no stack comes before the one below it
    std::unordered_map<std::uint64_t, Node> node_of_;
    std::vector<StateData> states_;
    std::map<std::vector<Node>, State> state_of_;
    State start_ = kDead;
    std::size_t work_ = 0;                // since settle()
    std::size_t many_nodes_ = kManyNodes; // twice what cannot be forgotten, if that is more
    // Scratch of open(), up to opened().
    std::vector<Node> todo_;
    std::vector<Node> found_;
    std::vector<std::uint32_t> seen_in_; // for each node the round in which it was opened last
    std::uint32_t round_ = 1;
};

} // namespace llamad
