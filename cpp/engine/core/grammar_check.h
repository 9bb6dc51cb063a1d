// Refuses grammars that would cost more than they can be worth, before llama.cpp sees them.
#pragma once

#include <string>

namespace llamad {

// llama.cpp parses and follows a GBNF grammar without bounding what that takes. Each of these would let a few
// lines of grammar overflow the stack, fill the memory, or stop the engine for minutes:
//
// - groups within groups, and rules that begin with rules: both are followed by recursion;
// - a long literal or character class that is repeated, for repetition copies it;
// - many ways to go on from one place: all are kept, and compared with each other, at every token. Where
//   they come of items in a row that may each be left out, the cost grows with the cube of their number.
//
// Does not tell whether rules begin with themselves, or which one is the first: llama.cpp does, for grammars
// that pass. Throws GrammarError saying what is too much, where the text is not GBNF, or what rule is
// missing.
void check_grammar(const std::string &grammar);

} // namespace llamad
