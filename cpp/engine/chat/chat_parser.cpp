#include "chat/chat_parser.h"

#include <algorithm>
#include <utility>

#include "chat/chat_format.h"

namespace llamad {

namespace {

// What may be read on the whole: so much at once, and so many times the output. Short tool calls are then
// read at each token, and the longest still arrive in pieces of a thirtieth.
constexpr std::size_t kReadAtOnce = 262'144;
constexpr std::size_t kReadPerByte = 32;

// Bytes after which an output that does not fit is not expected to do so again.
constexpr std::size_t kPatience = 32;

constexpr const char *kWhiteSpace = " \t\r\n";

struct Found {
    std::size_t place; // where a marker begins, or may begin; else the end of the text
    bool complete;     // a whole marker is there
};

Found find_marker(std::string_view text, std::size_t from, const std::vector<std::string> &markers) {
    Found found{text.size(), false};
    for (const std::string &marker : markers) {
        if (const std::size_t place = text.find(marker, from); place != std::string_view::npos) {
            found = {std::min(found.place, place), true};
            continue;
        }
        for (std::size_t length = std::min(marker.size() - 1, text.size() - from); length > 0; --length) {
            if (text.ends_with(std::string_view(marker).substr(0, length))) {
                found.place = std::min(found.place, text.size() - length);
                break;
            }
        }
    }
    return found;
}

// Whether a byte is one of a UTF-8 character after its first.
bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

// Whether one text is the other's beginning.
bool agree(const std::string &a, const std::string &b) { return a.starts_with(b) || b.starts_with(a); }

} // namespace

ChatParser::ChatParser(std::shared_ptr<const ChatFormat> format) : format_(std::move(format)) {
    // What the prompt says already of the answer, because the caller began it, is not told again.
    const ChatReading begun = format_->read("");
    said(TextKind::kContent) = begun.message.content;
    said(TextKind::kReasoning) = begun.message.reasoning_content;
    trim(TextKind::kContent) = format_->has_reasoning() && begun.message.content.empty();
    trim(TextKind::kReasoning) = begun.message.reasoning_content.empty();
    pass_on_if_open(begun);
}

std::vector<ChatEvent> ChatParser::feed(std::string_view text) {
    output_ += text;
    if (mode_ == Mode::kPassOn) {
        pass_on();
    }
    if (mode_ == Mode::kRead && may_read()) {
        read(/*complete=*/false);
    }
    if (mode_ == Mode::kGiveUp) {
        give_up();
    }
    return std::exchange(events_, {});
}

std::vector<ChatEvent> ChatParser::finish() {
    const bool looks_like_marker = mode_ == Mode::kPassOn && told_ < output_.size();
    if (mode_ == Mode::kRead || looks_like_marker) {
        read(/*complete=*/true);
    }
    return std::exchange(events_, {});
}

bool ChatParser::may_read() const {
    const std::size_t cost = output_.size() + format_->overhead();
    return bytes_read_ + cost <= kReadAtOnce + kReadPerByte * cost;
}

void ChatParser::read(bool complete) {
    const std::optional<ChatReading> reading = read_beginning(output_.size());
    if (!reading) {
        if (!failed_) {
            failed_ = output_.size();
        }
        if (complete || output_.size() >= *failed_ + kPatience) {
            read_what_fits();
            give_up();
        }
        return;
    }
    failed_.reset();
    fits_ = output_.size();
    tell_reading(*reading, complete);
    if (complete) {
        tell_rest(*reading);
    } else {
        pass_on_if_open(*reading);
    }
}

void ChatParser::pass_on_if_open(const ChatReading &reading) {
    // The parser leaves out thoughts of nothing but white space.
    if (reading.open && !said(reading.last).empty() && format_->ends(reading.last).known) {
        open_ = reading.last;
        mode_ = Mode::kPassOn;
    }
}

// None where so much of the output does not fit the format, or not what has been told.
std::optional<ChatReading> ChatParser::read_beginning(std::size_t size) {
    const std::string output = output_.substr(0, size);
    if (format_->nests_too_deep(output)) {
        return std::nullopt;
    }
    bytes_read_ += size + format_->overhead();
    ChatReading reading = format_->read(output);
    return contradicts(reading) ? std::nullopt : std::optional(std::move(reading));
}

// What does not fit makes nothing fit that begins with it, so the place can be found by halving.
void ChatParser::read_what_fits() {
    std::optional<ChatReading> best;
    std::size_t fails = output_.size();
    while (fails - fits_ > 1) {
        const std::size_t half = fits_ + (fails - fits_) / 2;
        std::size_t middle = half;
        while (middle < fails && is_continuation(output_[middle])) {
            ++middle;
        }
        if (middle == fails) { // one character is left of the second half
            fails = half;
            continue;
        }
        if (std::optional<ChatReading> reading = read_beginning(middle)) {
            best = std::move(reading);
            fits_ = middle;
        } else {
            fails = middle;
        }
    }
    if (best) {
        tell_reading(*best, /*complete=*/false);
    }
}

// Whether a reading is none, or not what has been told goes on as.
bool ChatParser::contradicts(const ChatReading &reading) const {
    if (reading.state == ChatReading::State::kFails ||
        !agree(reading.message.content, said(TextKind::kContent)) ||
        !agree(reading.message.reasoning_content, said(TextKind::kReasoning)) ||
        reading.message.tool_calls.size() < calls_.size()) {
        return true;
    }
    for (std::size_t i = 0; i < calls_.size(); ++i) {
        const common_chat_tool_call &call = reading.message.tool_calls[i];
        if (call.name != calls_[i].name || !agree(call.arguments, calls_[i].arguments)) {
            return true;
        }
    }
    return false;
}

void ChatParser::tell_reading(const ChatReading &reading, bool complete) {
    const auto tell_more = [this](TextKind kind, const std::string &text) {
        tell(kind, std::string_view(text).substr(std::min(text.size(), said(kind).size())));
    };
    tell_more(TextKind::kReasoning, reading.message.reasoning_content);
    tell_more(TextKind::kContent, reading.message.content);
    tell_calls(reading, complete);
    const bool all_told = calls_.size() == reading.message.tool_calls.size();
    told_ = std::max(told_, all_told ? reading.end : reading.text_end);
    untold_ = std::max(told_, all_told ? reading.consumed : 0);
}

void ChatParser::tell_calls(const ChatReading &reading, bool complete) {
    const auto tell_call = [this](std::size_t index, std::string name, std::string arguments) {
        events_.push_back({.kind = ChatEvent::Kind::kToolCall,
                           .text = std::move(arguments),
                           .index = index,
                           .name = std::move(name)});
    };
    const std::vector<common_chat_tool_call> &calls = reading.message.tool_calls;
    for (std::size_t i = 0; i < calls.size(); ++i) {
        const bool is_last = i + 1 == calls.size();
        std::string arguments = calls[i].arguments;
        if (arguments.empty() && (complete || !is_last)) {
            arguments = "{}";
        }
        if (i == calls_.size()) {
            // The parser opens the arguments before the name is complete.
            if (is_last && !complete && arguments.size() < 2) {
                return;
            }
            tell_call(i, calls[i].name, arguments);
            calls_.push_back({.name = calls[i].name, .arguments = std::move(arguments)});
        } else if (arguments.size() > calls_[i].arguments.size()) {
            tell_call(i, "", arguments.substr(calls_[i].arguments.size()));
            calls_[i].arguments = std::move(arguments);
        }
    }
}

// What of a complete output the reading leaves out.
void ChatParser::tell_rest(const ChatReading &reading) {
    const bool fits = reading.state == ChatReading::State::kFits;
    if (!fits && reading.ends_in_call) {
        return; // a tool call that was cut
    }
    const bool nothing_told =
        calls_.empty() && said(TextKind::kContent).empty() && said(TextKind::kReasoning).empty();
    const std::size_t begin = nothing_told ? 0 : untold_;
    const std::string_view rest = std::string_view(output_).substr(std::min(begin, output_.size()));
    const std::string_view text = format_->without_markup(rest);
    const bool is_cut_markup = !fits && text.size() < rest.size() && !nothing_told;
    if (!text.empty() && !is_cut_markup) {
        tell(fits ? TextKind::kContent : reading.last, rest);
    }
}

void ChatParser::pass_on() {
    const Found found = find_marker(output_, told_, format_->ends(open_).markers);
    tell(open_, std::string_view(output_).substr(told_, found.place - told_));
    told_ = found.place;
    untold_ = told_;
    fits_ = told_;
    if (found.complete) {
        mode_ = Mode::kRead;
    }
}

void ChatParser::give_up() {
    mode_ = Mode::kGiveUp;
    tell(TextKind::kContent, std::string_view(output_).substr(untold_));
    untold_ = output_.size();
}

void ChatParser::tell(TextKind kind, std::string_view text) {
    said(kind) += text;
    if (trim(kind)) {
        text.remove_prefix(std::min(text.find_first_not_of(kWhiteSpace), text.size()));
        trim(kind) = text.empty();
    }
    if (!text.empty()) {
        events_.push_back(
            {.kind = kind == TextKind::kContent ? ChatEvent::Kind::kContent : ChatEvent::Kind::kReasoning,
             .text = std::string(text),
             .name = {}});
    }
}

} // namespace llamad
