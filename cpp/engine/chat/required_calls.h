// Answers that are to be tool calls.
#pragma once

#include "chat.h"

namespace llamad {

// Where a call is required, takes out of the grammar the text that llama.cpp allows before it: with that, a
// model may write until it is cut and never call. Thinking stays; where it is not told apart from text, so
// does that.
void forbid_text_before_calls(const common_chat_templates_inputs &inputs, common_chat_params &params);

} // namespace llamad
