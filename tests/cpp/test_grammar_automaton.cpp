#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"

#include "core/grammar_automaton.h"

using namespace llamad;

namespace {

using Kind = GrammarElement::Kind;
using Rule = std::vector<GrammarElement>;
using State = GrammarAutomaton::State;

constexpr GrammarElement kEnd{.kind = Kind::kEnd, .value = 0};
constexpr GrammarElement kOr{.kind = Kind::kAlternative, .value = 0};
constexpr GrammarElement kAny{.kind = Kind::kCharAny, .value = 0};
GrammarElement rule(std::uint32_t index) { return {.kind = Kind::kRule, .value = index}; }
GrammarElement character(char32_t c) { return {.kind = Kind::kChar, .value = c}; }
GrammarElement no(char32_t c) { return {.kind = Kind::kCharNot, .value = c}; }
GrammarElement up_to(char32_t c) { return {.kind = Kind::kCharUpper, .value = c}; }
GrammarElement also(char32_t c) { return {.kind = Kind::kCharAlso, .value = c}; }

// The first letter of `text` that does not fit, "end" where all does and it may end there, else "more".
std::string read(GrammarAutomaton &automaton, std::string_view text, bool settle = false) {
    State state = automaton.start();
    for (const char c : text) {
        state = automaton.after(state, static_cast<unsigned char>(c));
        if (state == GrammarAutomaton::kDead) {
            return {c};
        }
        state = settle ? automaton.settle(state) : state;
    }
    return automaton.may_end(state) ? "end" : "more";
}

// root ::= "(" root ")" root | ""
const std::vector<Rule> brackets{{character('('), rule(0), character(')'), rule(0), kOr, kEnd}};

} // namespace

TEST("nesting is followed") {
    GrammarAutomaton automaton(brackets, 0);
    CHECK_EQ(read(automaton, ""), "end");
    CHECK_EQ(read(automaton, "(()(()))()"), "end");
    CHECK_EQ(read(automaton, "(()"), "more");
    CHECK_EQ(read(automaton, "())"), ")");
    CHECK_EQ(read(automaton, "(x"), "x");
}

TEST("classes of characters") {
    // root ::= [a-cx] [^a-cx]+ .
    GrammarAutomaton automaton(
        {{character('a'), up_to('c'), also('x'), rule(1), kAny, kEnd},
         {no('a'), up_to('c'), also('x'), kOr, no('a'), up_to('c'), also('x'), rule(1), kEnd}},
        0);
    CHECK_EQ(read(automaton, "d"), "d");
    CHECK_EQ(read(automaton, "xd"), "more");
    CHECK_EQ(read(automaton, "bdb"), "end");
    CHECK_EQ(read(automaton, "bddddx"), "end");
    CHECK_EQ(read(automaton, "cb"), "b");
}

TEST("characters beyond ASCII") {
    // root ::= [à-ïα] | [^0-ωа] "x" | .
    GrammarAutomaton automaton({{character(0xE0), up_to(0xEF), also(0x3B1), kOr, no('0'), up_to(0x3C9),
                                 also(0x430), character('x'), kOr, kAny, kEnd}},
                               0);
    const auto after = [&](char32_t c) {
        const State state = automaton.after(automaton.start(), c);
        return std::string(automaton.may_end(state) ? "end" : "") +
               (automaton.after(state, 'x') == GrammarAutomaton::kDead ? "" : "x");
    };
    for (const char32_t c : {0xDF, 0xE0, 0xE8, 0xEF, 0xF0, 0x3B0, 0x3B1, 0x3B2, 0x3C9, 0x430}) {
        CHECK_EQ(after(c), "end");
    }
    for (const char32_t c : {0x3CA, 0x42F, 0x431, 0x10FFFF}) {
        CHECK_EQ(after(c), "endx");
    }
    GrammarAutomaton letters({{character(0xE0), up_to(0xEF), also(0x3B1), kEnd}}, 0);
    for (const char32_t c : {0x80, 0xDF, 0xF0, 0x3B0, 0x3B2, 0x10FFFF}) {
        CHECK(letters.after(letters.start(), c) == GrammarAutomaton::kDead);
    }
    for (const char32_t c : {0xE0, 0xEF, 0x3B1}) {
        CHECK(letters.may_end(letters.after(letters.start(), c)));
    }
}

TEST("many words to choose from, and every character of a large vocabulary to try") {
    Rule words;
    for (char32_t word = 0; word < 2000; ++word) {
        words.insert(words.end(), {character('a' + (word % 26)), character(0x4E00 + word), kOr});
    }
    words.back() = kEnd;
    GrammarAutomaton automaton({words}, 0);
    const State a = automaton.after(automaton.start(), 'a');
    for (char32_t c = 0x4E00; c < 0x9FFF; ++c) {
        CHECK(automaton.after(automaton.start(), c) == GrammarAutomaton::kDead);
        const bool is_word = c - 0x4E00 < 2000 && (c - 0x4E00) % 26 == 0;
        CHECK_EQ(automaton.may_end(automaton.after(a, c)), is_word);
    }
}

TEST("a range is taken where one character of it is") {
    // root ::= [^a-cx-z] | [5]
    GrammarAutomaton automaton({{no('x'), up_to('z'), also('a'), up_to('c'), kEnd}}, 0);
    const State start = automaton.start();
    CHECK(!automaton.takes_some(start, 'a', 'b') && !automaton.takes_some(start, 'a', 'c'));
    CHECK(automaton.takes_some(start, 'a', 'd') && automaton.takes_some(start, 'b', 'y'));
    CHECK(!automaton.takes_some(start, 'y', 'z') && automaton.takes_some(start, 'z', 0x10FFFF));
    GrammarAutomaton five({{character('5'), kEnd}}, 0);
    CHECK(five.takes_some(five.start(), '4', '9') && !five.takes_some(five.start(), '6', '9'));
    CHECK(!five.takes_some(five.after(five.start(), '5'), '0', '9'));
}

TEST("a range may go on to the largest number") {
    // root ::= [^a-m\U00000020-\UFFFFFFFF]
    GrammarAutomaton automaton({{no('a'), up_to('m'), also(' '), up_to(0xFFFFFFFF), kEnd}}, 0);
    CHECK(!automaton.takes_some(automaton.start(), '!', 'z'));
    CHECK(!automaton.takes_some(automaton.start(), 'a', 0x10FFFF));
    CHECK(automaton.takes_some(automaton.start(), '\n', 'z'));
    // root ::= [^b-c\U00000062-\UFFFFFFFF]: which begin at the same place
    GrammarAutomaton nested({{no('b'), up_to('c'), also('b'), up_to(0xFFFFFFFF), kEnd}}, 0);
    CHECK(!nested.takes_some(nested.start(), 'b', 'z') && nested.takes_some(nested.start(), 'a', 'z'));
}

TEST("tokens that are asked for as such") {
    // root ::= <[7]> !<[7]>
    GrammarAutomaton automaton(
        {{{.kind = Kind::kToken, .value = 7}, {.kind = Kind::kTokenNot, .value = 7}, kEnd}}, 0);
    CHECK_EQ(automaton.after_token(automaton.start(), 8), GrammarAutomaton::kDead);
    CHECK_EQ(automaton.after(automaton.start(), 'x'), GrammarAutomaton::kDead);
    const State next = automaton.after_token(automaton.start(), 7);
    CHECK_EQ(automaton.after_token(next, 7), GrammarAutomaton::kDead);
    CHECK(automaton.may_end(automaton.after_token(next, 8)));
    CHECK_EQ(automaton.either(next, GrammarAutomaton::kDead), next);
}

TEST("ways that meet again are one, however many there are") {
    // root ::= ("a" | "a")* "b"
    GrammarAutomaton automaton({{rule(1), character('b'), kEnd},
                                {rule(2), rule(1), kOr, kEnd},
                                {character('a'), kOr, character('a'), kEnd}},
                               0);
    std::string text(10'000, 'a');
    text += 'b';
    CHECK_EQ(read(automaton, text), "end");
}

TEST("ways that stay apart are given up") {
    // root ::= "a" root "b" | "a" root "c" | "x"
    GrammarAutomaton automaton({{character('a'), rule(0), character('b'), kOr, character('a'), rule(0),
                                 character('c'), kOr, character('x'), kEnd}},
                               0);
    CHECK_EQ(read(automaton, "aaxbc"), "end");
    CHECK_THROWS(std::runtime_error, read(automaton, std::string(64, 'a')));
    CHECK_THROWS(std::runtime_error, read(automaton, std::string(64, 'a'), /*settle=*/true));
}

TEST("what was is forgotten, what is to come is not") {
    GrammarAutomaton automaton(brackets, 0);
    const std::size_t depth = 70'000; // more than are kept of what was
    State state = automaton.start();
    for (std::size_t i = 0; i < 2 * depth; ++i) {
        state = automaton.settle(automaton.after(state, i < depth ? '(' : ')'));
        REQUIRE(automaton.may_end(state) == (i + 1 == 2 * depth));
    }
    CHECK_EQ(automaton.after(state, ')'), GrammarAutomaton::kDead);
    CHECK(automaton.after(state, '(') != GrammarAutomaton::kDead);
}
