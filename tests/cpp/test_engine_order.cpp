// Who is served before whom.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "engine_rig.h"

#include "core/engine.h"

using namespace llamad;

namespace {

// One slot with a request in it, at the gate; what is submitted now arrives together.
struct OneSlot {
    OneSlot()
        : model({.n_slots = 1, .n_ctx = 64, .n_batch = 32, .n_ubatch = 16}), rig((model.gate.hold(), model)) {
        rig.submit("!", 1);
        CHECK(model.gate.reached());
    }
    void submit(char letter, const std::string &client, std::int32_t priority = 0,
                std::size_t n_prompt = 10) {
        auto request = make_request(std::string(n_prompt, letter), 5);
        request->client = client;
        request->priority = priority;
        letters.emplace_back(rig.submit(std::move(request)), letter);
    }
    // Everybody's letter, in order of their end.
    std::string order() {
        model.gate.open();
        for (const auto &[id, letter] : letters) {
            rig.wait(id);
        }
        std::string order;
        for (const RequestId id : rig.ended()) {
            for (const auto &[known, letter] : letters) {
                order += id == known ? std::string(1, letter) : "";
            }
        }
        return order;
    }

    FakeModel model;
    EngineRig rig;
    std::vector<std::pair<RequestId, char>> letters;
};

} // namespace

TEST("lower priority values are served first") {
    OneSlot one;
    one.submit('A', "", 5);
    one.submit('B', "", 0);
    one.submit('C', "", -5);
    one.submit('D', "", 0);
    CHECK_EQ(one.order(), "CBDA");
}

TEST("clients take turns, however many requests one of them has") {
    OneSlot one;
    for (const char letter : {'A', 'B', 'C', 'D', 'E'}) {
        one.submit(letter, "many");
    }
    one.submit('1', "few");
    one.submit('2', "few");
    CHECK_EQ(one.order(), "A1B2CDE");
}

TEST("what counts is tokens, not requests") {
    OneSlot one;
    for (const char letter : {'A', 'B', 'C'}) {
        one.submit(letter, "long", 0, 40);
    }
    for (const char letter : {'1', '2', '3', '4', '5'}) {
        one.submit(letter, "short", 0, 10);
    }
    CHECK_EQ(one.order(), "A123B45C"); // 45 tokens for 15, 30, 45
}

TEST("within a client, first come, first served") {
    OneSlot one;
    for (const char letter : {'C', 'A', 'B'}) {
        one.submit(letter, "one");
    }
    CHECK_EQ(one.order(), "CAB");
}
