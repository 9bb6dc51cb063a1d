// How the output of one template is read: llama.cpp's parser for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chat.h"
#include "peg-parser.h"

#include "chat/chat_event.h"

namespace llamad {

// What a parser makes of an output that may go on.
struct ChatReading {
    enum class State : std::uint8_t { kFits, kUnfinished, kFails };
    State state = State::kFails;
    common_chat_msg message;
    std::size_t text_end = 0;           // bytes of the output up to the end of the text in `message`
    std::size_t end = 0;                // the same, of all that is in it
    std::size_t consumed = 0;           // bytes of the output that fit, where it does
    bool ends_in_call = false;          // what `message` holds last is a tool call
    TextKind last = TextKind::kContent; // the kind of text that came last
    bool open = false;                  // it goes on at the end of the output
};

// Immutable; any thread.
class ChatFormat {
  public:
    // Throws std::exception where llama.cpp's parser cannot be loaded.
    explicit ChatFormat(const common_chat_params &params);

    // Costs the length of the output; requires that it does not nest too deep.
    ChatReading read(const std::string &output) const;

    // Bytes that read() goes through besides the output.
    std::size_t overhead() const { return prompt_.size(); }

    // What may end text of a kind, where that is known; else the text has to be read again to find out.
    struct Ends {
        bool known = true;
        std::vector<std::string> markers;
    };
    const Ends &ends(TextKind kind) const { return kind == TextKind::kContent ? content_ : reasoning_; }

    // The output is the answer as it is.
    bool is_plain() const { return plain_; }
    bool has_tools() const { return has_tools_; }
    bool has_reasoning() const { return has_reasoning_; }

    // What is left of a text without the white space and the template's markers at its beginning.
    std::string_view without_markup(std::string_view text) const;

    // Whether reading an output may take more stack than there is: llama.cpp's parser recurses.
    bool nests_too_deep(std::string_view text) const;

  private:
    void inspect();

    common_peg_arena parser_;
    common_chat_format format_;
    std::string prompt_; // what of the assistant's turn the prompt holds already
    std::vector<std::string> markup_;
    Ends content_;
    Ends reasoning_;
    bool plain_ = false;
    bool has_tools_ = false;
    bool has_reasoning_ = false;
    bool json_only_ = true; // tool calls have no strings but JSON's
};

} // namespace llamad
