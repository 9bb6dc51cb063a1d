// Reads GBNF far enough to tell what a grammar would cost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llamad {

inline constexpr std::size_t kMostGrammarDepth = 500; // of groups, and of rules that begin with rules

[[noreturn]] void refuse_grammar(const std::string &must);

// A literal, a character class, a token, or a reference to a rule; perhaps repeated.
struct GrammarItem {
    std::optional<std::size_t> rule; // none: a terminal
    std::uint64_t elements = 1;      // that it takes in llama.cpp's memory
    std::uint64_t copies = 1;        // that may stand in a row
    bool optional = false;           // may be left out
    bool repeated = false;
};

using GrammarSequence = std::vector<GrammarItem>;
using GrammarRule = std::vector<GrammarSequence>; // its alternatives

// The rules of a grammar, those made of groups included. Throws GrammarError where the text is not GBNF, a
// rule is named but not defined or none is named "root", it nests too deep, or is too large once its
// repetitions are written out.
std::vector<GrammarRule> read_gbnf(std::string_view text);

} // namespace llamad
