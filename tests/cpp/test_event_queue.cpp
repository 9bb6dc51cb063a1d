#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>

#include "check.h"
#include "fake_runner.h"

#include "core/event_queue.h"

using namespace llamad;

namespace {

Event event(RequestId id, std::string text, Tokens tokens = {}) {
    return {.id = id, .text = std::move(text), .tokens = std::move(tokens), .logprobs = {}, .end = nullptr};
}

Event last_event(RequestId id, std::string text, FinishReason reason) {
    Event made = event(id, std::move(text));
    made.end = std::make_unique<End>();
    made.end->reason = reason;
    return made;
}

template <typename... Events> void publish(EventQueue &queue, Events &&...events) {
    std::vector<Event> batch;
    (batch.push_back(std::forward<Events>(events)), ...);
    queue.publish(batch);
    CHECK(batch.empty());
}

bool readable(const EventQueue &queue) {
    pollfd entry{.fd = queue.fd(), .events = POLLIN, .revents = 0};
    return poll(&entry, 1, 0) == 1;
}

} // namespace

TEST("the descriptor is readable exactly while there is something to drain") {
    EventQueue queue;
    CHECK(!readable(queue));
    publish(queue);
    CHECK(!readable(queue));
    for (int round = 0; round < 3; ++round) {
        publish(queue, event(1, "a"));
        publish(queue, event(1, "b"));
        CHECK(readable(queue));
        CHECK(readable(queue)); // looking does not change it
        CHECK_EQ(queue.drain().size(), 1);
        CHECK(!readable(queue));
        CHECK(queue.drain().empty());
    }
}

TEST("events of one request are joined, in order of the first") {
    EventQueue queue;
    publish(queue, event(2, "x", {1}), event(1, "a", {2, 3}));
    publish(queue, event(1, "b"), event(3, "-", {9}));
    publish(queue, event(1, "c", {4}), last_event(2, "y", FinishReason::kLength));
    const std::vector<Event> events = queue.drain();
    REQUIRE(events.size() == 3);
    CHECK_EQ(events[0].id, 2);
    CHECK_EQ(events[0].text, "xy");
    CHECK_EQ(events[0].tokens, Tokens{1});
    REQUIRE(events[0].end != nullptr);
    CHECK_EQ(events[0].end->reason, FinishReason::kLength);
    CHECK_EQ(events[1].id, 1);
    CHECK_EQ(events[1].text, "abc");
    CHECK_EQ(events[1].tokens, Tokens{2, 3, 4});
    CHECK(events[1].end == nullptr);
    CHECK_EQ(events[2].id, 3);
}

TEST("logprobs are joined like their tokens") {
    EventQueue queue;
    for (const TokenId token : {3, 4}) {
        Event one = event(1, "a", {token});
        one.logprobs.push_back({.token = token, .logprob = -1.0F, .top = {{token, -1.0F}}});
        publish(queue, std::move(one));
    }
    const std::vector<Event> events = queue.drain();
    REQUIRE(events.size() == 1 && events[0].logprobs.size() == 2);
    CHECK_EQ(events[0].logprobs[0].token, 3);
    CHECK_EQ(events[0].logprobs[1].token, 4);
    CHECK_EQ(events[0].logprobs[1].top.size(), 1);
}

TEST("wait returns at once where there is something, and false where nothing comes") {
    EventQueue queue;
    CHECK(!queue.wait(std::chrono::milliseconds(1)));
    publish(queue, event(1, "a"));
    CHECK(queue.wait(std::chrono::milliseconds(0)));
    CHECK(queue.wait(kPatience));
    queue.drain();
    CHECK(!queue.wait(std::chrono::milliseconds(0)));
}

TEST("wait ends when another thread publishes or wakes") {
    for (const bool publishes : {true, false}) {
        EventQueue queue;
        std::thread other([&] {
            if (publishes) {
                publish(queue, event(1, "a"));
            } else {
                queue.wake();
            }
        });
        CHECK(queue.wait(kPatience));
        other.join();
        CHECK_EQ(queue.drain().size(), publishes ? 1 : 0);
        CHECK(!readable(queue)); // a drain clears a wake-up as well
    }
}

TEST("nothing is lost or torn between a publisher and a consumer that waits") {
    constexpr int kSteps = 5000;
    EventQueue queue;
    std::thread publisher([&] {
        for (int step = 0; step < kSteps; ++step) {
            publish(queue, event(1, "a", {step}), event(2, "b", {step}));
        }
        publish(queue, last_event(1, "", FinishReason::kStop));
    });
    std::map<RequestId, Event> joined;
    bool ended = false;
    while (!ended && queue.wait(kPatience)) {
        for (Event &part : queue.drain()) {
            Event &whole = joined[part.id];
            whole.text += part.text;
            whole.tokens.insert(whole.tokens.end(), part.tokens.begin(), part.tokens.end());
            ended = ended || part.end != nullptr;
        }
    }
    publisher.join();
    CHECK(ended);
    for (const RequestId id : {1U, 2U}) {
        CHECK_EQ(joined[id].text.size(), kSteps);
        REQUIRE(joined[id].tokens.size() == kSteps);
        for (int step = 0; step < kSteps; ++step) {
            CHECK_EQ(joined[id].tokens[static_cast<std::size_t>(step)], step);
        }
    }
}
