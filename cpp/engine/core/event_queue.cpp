#include "core/event_queue.h"

#include <cerrno>
#include <cstdint>
#include <iterator>
#include <system_error>
#include <unordered_map>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

EventQueue::EventQueue() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0) {
        throw std::system_error(errno, std::generic_category(), "eventfd");
    }
}

EventQueue::~EventQueue() { close(fd_); }

void EventQueue::publish(std::vector<Event> &events) {
    if (events.empty()) {
        return;
    }
    bool was_empty = false;
    {
        const std::lock_guard lock(mutex_);
        was_empty = queue_.empty();
        if (was_empty) {
            queue_.swap(events);
        } else {
            queue_.insert(queue_.end(), std::make_move_iterator(events.begin()),
                          std::make_move_iterator(events.end()));
        }
    }
    events.clear();
    if (was_empty) {
        wake();
    }
}

void EventQueue::wake() const {
    const std::uint64_t one = 1;
    // It can only fail by overflow, and then the descriptor is readable as it should be.
    [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof(one));
}

std::vector<Event> EventQueue::drain() {
    // Clear the descriptor first: an event published in between then causes one wake-up too many,
    // never one too few.
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t n_read = read(fd_, &count, sizeof(count));
    std::vector<Event> events;
    {
        const std::lock_guard lock(mutex_);
        events.swap(queue_);
    }
    return join_by_request(std::move(events));
}

bool EventQueue::wait(std::chrono::milliseconds timeout) const {
    pollfd entry{.fd = fd_, .events = POLLIN, .revents = 0};
    return poll(&entry, 1, static_cast<int>(timeout.count())) > 0;
}

} // namespace llamad
