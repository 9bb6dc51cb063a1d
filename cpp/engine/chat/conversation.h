// A conversation as the caller hands it over: JSON.
#pragma once

#include <string>
#include <string_view>

#include "chat.h"

namespace llamad {

struct Conversation {
    common_chat_templates_inputs inputs; // as llama.cpp's templates take them
    std::string chat_template;           // Jinja instead of the model's own; empty: the model's own
    bool calls_tools = false;            // tools are offered and may be called
    bool chooses_parallel = false;       // the caller says whether several tools may be called at once
};

// `json`: {"messages": [...], "tools": [...], "tool_choice": "auto" | "required" | "none",
// "parallel_tool_calls": bool, "chat_template_kwargs": {...}, "reasoning_effort": str, "reasoning_format":
// "auto" | "none", "continue_final_message": bool, "chat_template": str}; only messages is required, and a
// null is as good as nothing. Throws ParameterError and TemplateError naming what is wrong.
Conversation read_conversation(std::string_view json);

} // namespace llamad
