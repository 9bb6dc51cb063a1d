#include "core/event_queue.h"

#include <iterator>
#include <unordered_map>
#include <utility>

namespace llamad {

namespace {

std::vector<Event> join_by_request(std::vector<Event> events) {
    std::unordered_map<RequestId, std::size_t> place;
    place.reserve(events.size());
    std::vector<Event> joined;
    joined.reserve(events.size());
    for (Event &event : events) {
        const auto [entry, is_first] = place.try_emplace(event.id, joined.size());
        if (is_first) {
            joined.push_back(std::move(event));
            continue;
        }
        Event &earlier = joined[entry->second];
        earlier.text += event.text;
        earlier.tokens.insert(earlier.tokens.end(), event.tokens.begin(), event.tokens.end());
        earlier.logprobs.insert(earlier.logprobs.end(), std::make_move_iterator(event.logprobs.begin()),
                                std::make_move_iterator(event.logprobs.end()));
        earlier.end = std::move(event.end);
    }
    return joined;
}

} // namespace

std::vector<Event> EventQueue::drain() { return join_by_request(take_all()); }

} // namespace llamad
