#include "core/trigger_watch.h"

#include <algorithm>
#include <utility>

namespace llamad {

namespace {

// Longer than what any template's patterns match.
constexpr std::size_t kTail = 256;

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
            patterns_.push_back(
                {.regex = std::regex(trigger.text), .anchored = trigger.text.starts_with('^')});
        }
    }
    for (const std::vector<std::string> *list : {&words_, &starts_, &thinking_.ends}) {
        for (const std::string &word : *list) {
            longest_word_ = std::max(longest_word_, word.size());
        }
    }
}

std::optional<std::string> TriggerWatch::push(std::string_view text) {
    text_ += text;
    std::optional<std::string> triggered;
    while (true) {
        const Found word = thinking_.open ? Found{std::string::npos, nullptr} : first_of(words_);
        if (passes_tag(word.begin)) {
            continue;
        }
        if (word.word != nullptr) {
            triggered = text_.substr(word.begin);
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

// The first group of a pattern, or all of it, is what the grammar begins with.
std::optional<std::string> TriggerWatch::match() const {
    std::smatch match;
    for (const Pattern &pattern : patterns_) {
        if ((!pattern.anchored || complete_) && std::regex_search(text_, match, pattern.regex)) {
            const auto group = std::find_if(match.begin() + 1, match.end(),
                                            [](const std::ssub_match &some) { return some.length() > 0; });
            return std::string(group == match.end() ? match[0].first : group->first, text_.end());
        }
    }
    return std::nullopt;
}

// What may be the beginning of a word is looked at again, and patterns may need all of the tail.
void TriggerWatch::forget() {
    const std::size_t n_open = std::min(text_.size() - std::min(looked_at_, text_.size()), longest_word_ - 1);
    looked_at_ = text_.size() - n_open;
    const std::size_t n_kept = std::max(longest_word_, kTail);
    if (text_.size() > n_kept) {
        const std::size_t n_dropped = text_.size() - n_kept;
        complete_ = false;
        text_.erase(0, n_dropped);
        looked_at_ -= std::min(looked_at_, n_dropped);
    }
}

} // namespace llamad
