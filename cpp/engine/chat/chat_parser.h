// A model's output as it comes in, the parts of an answer out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/chat_event.h"

namespace llamad {

class ChatFormat;
struct ChatReading;

// llama.cpp's parser reads an output from its beginning each time, so it is asked only where something may
// have changed, and in all for no more than a multiple of the output's length:
//
//   read ──text is open──▶ pass on ──a marker──▶ read        read ──does not fit──▶ give up
//
// Passed on is text that goes on until a marker ends it; after giving up, everything is content. What has
// been told is never taken back, and no text is lost. One thread at a time.
class ChatParser {
  public:
    explicit ChatParser(std::shared_ptr<const ChatFormat> format);

    // `text` continues the output and is valid UTF-8.
    std::vector<ChatEvent> feed(std::string_view text);

    // The output is complete: to be called once, last.
    std::vector<ChatEvent> finish();

    // Bytes that llama.cpp's parser has read in all.
    std::size_t bytes_read() const { return bytes_read_; }

  private:
    enum class Mode : std::uint8_t { kRead, kPassOn, kGiveUp };
    struct Call {
        std::string name;
        std::string arguments;
    };

    bool may_read() const;
    void read(bool complete);
    std::optional<ChatReading> read_beginning(std::size_t size);
    void read_what_fits();
    bool contradicts(const ChatReading &reading) const;
    void tell_reading(const ChatReading &reading, bool complete);
    void tell_calls(const ChatReading &reading, bool complete);
    void tell_rest(const ChatReading &reading);
    void pass_on_if_open(const ChatReading &reading);
    void pass_on();
    void give_up();
    void tell(TextKind kind, std::string_view text);
    std::string &said(TextKind kind) { return said_[static_cast<std::size_t>(kind)]; }
    bool &trim(TextKind kind) { return trim_[static_cast<std::size_t>(kind)]; }
    const std::string &said(TextKind kind) const { return said_[static_cast<std::size_t>(kind)]; }

    std::shared_ptr<const ChatFormat> format_;
    Mode mode_ = Mode::kRead;
    TextKind open_ = TextKind::kContent; // what is passed on
    std::string output_;
    std::size_t told_ = 0;              // bytes of the output up to the end of what has been told
    std::size_t untold_ = 0;            // the same, with what needs no telling after that
    std::size_t fits_ = 0;              // bytes of the output that fit the format
    std::array<std::string, 2> said_;   // the text of each kind so far, with what the prompt says of it
    std::vector<Call> calls_;           // that have been told
    std::array<bool, 2> trim_{};        // white space at the beginning is the template's, not the text's
    std::optional<std::size_t> failed_; // bytes of output at the first of the latest readings, which failed
    std::size_t bytes_read_ = 0;
    std::vector<ChatEvent> events_; // to be returned
};

} // namespace llamad
