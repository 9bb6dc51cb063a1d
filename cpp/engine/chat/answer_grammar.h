// The caller's grammar where the model thinks before it answers.
#pragma once

#include <string>

#include "core/params.h"

namespace llamad {

// GBNF that lets the model think as it likes and then holds it to `answer`, GBNF with a rule "root".
// Thinking is left out at will, but where the prompt has begun it.
std::string after_thinking(const std::string &answer, const Thinking &thinking);

} // namespace llamad
