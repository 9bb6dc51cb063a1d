// A part of an answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace llamad {

enum class TextKind : std::uint8_t { kContent, kReasoning };

struct ChatEvent {
    enum class Kind : std::uint8_t { kContent, kReasoning, kToolCall };
    Kind kind = Kind::kContent;
    std::string text;      // of a tool call: the next piece of its arguments, which together are JSON
    std::size_t index = 0; // of the tool call
    std::string name;      // of the function, in a tool call's first event; empty in those after
};

} // namespace llamad
