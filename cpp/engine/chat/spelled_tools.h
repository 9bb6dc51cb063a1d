// Tools for models whose chat template knows none.
#pragma once

#include "chat.h"

namespace llamad {

// The conversation without tools: they are described in the system message, calls are text between
// <tool_call> and </tool_call>, and their results come from the user.
common_chat_templates_inputs with_tools_spelled_out(const common_chat_templates_inputs &inputs);

// Gives `params`, which a template made of with_tools_spelled_out(inputs), the parser and the grammar of such
// calls. Throws std::exception where a tool's schema has no grammar.
void read_spelled_calls(const common_chat_templates_inputs &inputs, common_chat_params &params);

} // namespace llamad
