#include "core/trigger_watch.h"

#include <algorithm>
#include <utility>

namespace llamad {

namespace {

// Longer than what any template's patterns match.
constexpr std::size_t kTail = 256;

std::string escaped(std::string_view word) {
    std::string pattern;
    for (const char c : word) {
        if (std::string_view(R"(^$\.*+?()[]{}|/-)").find(c) != std::string_view::npos) {
            pattern += '\\';
        }
        pattern += c;
    }
    return pattern;
}

} // namespace

TriggerWatch::TriggerWatch(const std::vector<Trigger> &triggers, Thinking thinking)
    : thinking_(std::move(thinking)) {
    if (!thinking_.start.empty()) {
        starts_.push_back(thinking_.start);
    }
    for (const Trigger &trigger : triggers) {
        if (trigger.kind == Trigger::Kind::kWord) {
            words_.push_back(trigger.text);
        } else {
            patterns_.push_back({.text = trigger.text,
                                 .regex = std::regex(trigger.text),
                                 .anchored = trigger.text.starts_with('^')});
        }
    }
    for (const std::vector<std::string> *list : {&words_, &starts_, &thinking_.ends}) {
        for (const std::string &word : *list) {
            longest_word_ = std::max(longest_word_, word.size());
        }
    }
}

std::optional<TriggerWatch::Triggered> TriggerWatch::push(TokenId token, std::string_view text) {
    pieces_.push_back({.token = token, .begin = text_.size()});
    text_ += text;
    std::optional<Triggered> triggered;
    while (!triggered) {
        const Found word = thinking_.open ? Found{std::string::npos, nullptr} : first_of(words_);
        if (passes_tag(word.begin)) {
            continue;
        }
        if (word.word != nullptr) {
            triggered = triggered_at(word.begin, escaped(*word.word));
        } else if (!thinking_.open) {
            triggered = match();
        }
        break;
    }
    forget();
    return triggered;
}

TriggerWatch::Found TriggerWatch::first_of(const std::vector<std::string> &words) const {
    Found first{std::string::npos, nullptr};
    for (const std::string &word : words) {
        const std::size_t begin = text_.find(word, looked_at_);
        if (begin < first.begin) {
            first = {begin, &word};
        }
    }
    return first;
}

bool TriggerWatch::passes_tag(std::size_t before) {
    const Found tag = first_of(thinking_.open ? thinking_.ends : starts_);
    if (tag.word == nullptr || tag.begin >= before) {
        return false;
    }
    thinking_.open = !thinking_.open;
    looked_at_ = tag.begin + tag.word->size();
    return true;
}

std::optional<TriggerWatch::Triggered> TriggerWatch::match() const {
    for (const Pattern &pattern : patterns_) {
        if ((!pattern.anchored || complete_) && std::regex_search(text_, pattern.regex)) {
            return triggered_at(0, pattern.text);
        }
    }
    return std::nullopt;
}

TriggerWatch::Triggered TriggerWatch::triggered_at(std::size_t begin, std::string pattern) const {
    Triggered triggered{.pattern = std::move(pattern), .tokens = {}};
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
        const std::size_t end = i + 1 < pieces_.size() ? pieces_[i + 1].begin : text_.size();
        if (end > begin) {
            triggered.tokens.push_back(pieces_[i].token);
        }
    }
    return triggered;
}

// What may be the beginning of a word is looked at again, and patterns may need all of the tail.
void TriggerWatch::forget() {
    const std::size_t n_open = std::min(text_.size() - std::min(looked_at_, text_.size()), longest_word_ - 1);
    looked_at_ = text_.size() - n_open;
    const std::size_t n_kept = std::max(longest_word_, kTail);
    const auto kept = std::find_if(pieces_.begin(), pieces_.end(), [&](const Piece &piece) {
        return text_.size() - piece.begin <= n_kept || &piece == &pieces_.back();
    });
    const std::size_t n_dropped = kept == pieces_.end() ? 0 : kept->begin;
    if (n_dropped == 0) {
        return;
    }
    complete_ = false;
    pieces_.erase(pieces_.begin(), kept);
    for (Piece &piece : pieces_) {
        piece.begin -= n_dropped;
    }
    text_.erase(0, n_dropped);
    looked_at_ -= std::min(looked_at_, n_dropped);
}

} // namespace llamad
