#include "core/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace llamad {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

std::optional<std::size_t> StopMatcher::push(std::string_view text, std::string &out) {
    if (stops_.empty()) {
        out.append(text);
        return std::nullopt;
    }
    held_.append(text);
    std::size_t match = stops_.size(); // none
    std::size_t match_at = std::string::npos;
    std::size_t match_length = 0;
    for (std::size_t i = 0; i < stops_.size(); ++i) {
        const std::size_t at = held_.find(stops_[i]);
        if (at < match_at || (at == match_at && at != std::string::npos && stops_[i].size() > match_length)) {
            match = i;
            match_at = at;
            match_length = stops_[i].size();
        }
    }
    if (match == stops_.size()) {
        const std::size_t shown = held_.size() - longest_possible_beginning();
        out.append(held_, 0, shown);
        held_.erase(0, shown);
        return std::nullopt;
    }
    out.append(held_, 0, match_at);
    held_.clear();
    return match;
}

void StopMatcher::flush(std::string &out) {
    out.append(held_);
    held_.clear();
}

// Length of the longest end of held_ that begins a stop string.
std::size_t StopMatcher::longest_possible_beginning() const {
    std::size_t longest = 0;
    const std::string_view held = held_;
    for (const std::string &stop : stops_) {
        for (std::size_t length = std::min(stop.size() - 1, held.size()); length > longest; --length) {
            if (held.ends_with(std::string_view(stop).substr(0, length))) {
                longest = length;
                break;
            }
        }
    }
    return longest;
}

} // namespace llamad
