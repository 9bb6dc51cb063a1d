#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "engine_rig.h"
#include "store_rig.h"

#include "core/prefix_cache.h"

using namespace llamad;

namespace {

const std::string stem(40, 's'); // worth keeping

const RunnerLimits recurrent = with_memory(Memory::kRecurrent, {});
const RunnerLimits sliding_window = with_memory(Memory::kSlidingWindow, {});

struct Who {
    const char *salt = "";
    std::int32_t priority = 0;
};

Sequence sequence(std::string_view prompt, const Who &who = {}) {
    auto request = make_request(prompt, 9);
    request->cache_salt = who.salt;
    request->priority = who.priority;
    return {std::move(request), 256, std::make_shared<Account>()};
}

// Four slots, and a store with room for ten states.
struct Shelves {
    explicit Shelves(const RunnerLimits &limits = {}, std::size_t room = 10)
        : cache(slots, limits,
                std::make_unique<HostStore>(
                    HostStore::Limits{.max_bytes = 100 * room, .can_trim = limits.can_trim_states})) {}

    // A request runs there, of whose tokens so many have been computed.
    void run(SlotId slot, std::string_view prompt, std::size_t n_computed, const Who &who = {}) {
        at(slot).start(std::make_unique<Sequence>(sequence(prompt, who)), 0);
        at(slot).advance(n_computed);
    }
    // The slot is idle and holds that.
    void hold(SlotId slot, std::string_view tokens, const Who &who = {}) {
        run(slot, tokens, tokens.size(), who);
        at(slot).release();
    }
    void store(std::string_view tokens, std::string_view salt = "") {
        cache.store().put(prefix_of(tokens, salt), state_of("", 100));
    }
    // "slot 2: 40", "store: 40" or "-".
    std::string longest(std::string_view prompt, const Who &who = {}) const {
        const HeldPrefix held = cache.longest(sequence(prompt, who));
        std::ostringstream text;
        switch (held.where) {
        case HeldPrefix::Where::kNowhere:
            CHECK_EQ(held.n_tokens, 0);
            return "-";
        case HeldPrefix::Where::kSlot:
            text << "slot " << held.slot << ": " << held.n_tokens;
            break;
        case HeldPrefix::Where::kStore:
            text << "store: " << held.n_tokens;
        }
        CHECK(held.in_memory);
        return text.str();
    }
    Slot &at(SlotId slot) { return slots[static_cast<std::size_t>(slot)]; }

    std::vector<Slot> slots = four_slots();
    PrefixCache cache;

  private:
    static std::vector<Slot> four_slots() {
        std::vector<Slot> made;
        for (SlotId id = 0; id < 4; ++id) {
            made.emplace_back(id);
        }
        return made;
    }
};

} // namespace

TEST("the longest beginning is found wherever it is") {
    Shelves shelves;
    CHECK_EQ(shelves.longest("abcdefgh"), "-");
    shelves.hold(1, "abX");
    CHECK_EQ(shelves.longest("abcdefgh"), "slot 1: 2");
    shelves.run(2, "abcdY and more", 5);
    CHECK_EQ(shelves.longest("abcdefgh"), "slot 2: 4");
    shelves.store("abcdefZ");
    CHECK_EQ(shelves.longest("abcdefgh"), "store: 6");
    shelves.hold(3, "abcdefgZ");
    CHECK_EQ(shelves.longest("abcdefgh"), "slot 3: 7");
    CHECK_EQ(shelves.longest("xyz"), "-");
}

TEST("an idle slot is preferred to all that is hardly longer") {
    Shelves shelves;
    const std::string prompt = stem + stem + "and so on";
    shelves.hold(0, stem + "X");
    shelves.run(1, stem + "sssY", 43);
    CHECK_EQ(shelves.longest(prompt), "slot 1: 43");
    CHECK_EQ(shelves.cache.best(sequence(prompt)).slot, 0);
    shelves.store(stem + stem + "Z");
    CHECK_EQ(shelves.cache.best(sequence(prompt)).n_tokens, 80);
    CHECK(shelves.cache.best(sequence(prompt)).where == HeldPrefix::Where::kStore);
}

TEST("of a running slot what has been computed counts, and no more") {
    Shelves shelves;
    shelves.run(0, "abcdefgh", 3);
    CHECK_EQ(shelves.longest("abcdefgh"), "slot 0: 3");
}

TEST("of equally long ones a slot before the store, idle before running, the least beyond, the lowest") {
    Shelves shelves;
    shelves.store("abcd");
    CHECK_EQ(shelves.longest("abcdX"), "store: 4");
    shelves.run(3, "abcdef", 4);
    CHECK_EQ(shelves.longest("abcdX"), "slot 3: 4");
    shelves.hold(2, "abcd and a lot more");
    CHECK_EQ(shelves.longest("abcdX"), "slot 2: 4");
    shelves.hold(1, "abcde");
    CHECK_EQ(shelves.longest("abcdX"), "slot 1: 4");
    shelves.hold(0, "abcde");
    CHECK_EQ(shelves.longest("abcdX"), "slot 0: 4");
}

TEST("one token is left to compute") {
    Shelves shelves;
    shelves.hold(0, "abcdef");
    shelves.store("xyz");
    CHECK_EQ(shelves.longest("abcdef"), "slot 0: 5");
    CHECK_EQ(shelves.longest("abc"), "slot 0: 2");
    CHECK_EQ(shelves.longest("xyz"), "store: 2");
    CHECK_EQ(shelves.longest("a"), "-");
}

TEST("nothing is shared between salts") {
    Shelves shelves;
    shelves.hold(0, "abcdef", {.salt = "one"});
    shelves.store("abcdef", "two");
    CHECK_EQ(shelves.longest("abcd", {.salt = "one"}), "slot 0: 3");
    CHECK_EQ(shelves.longest("abcd", {.salt = "two"}), "store: 3");
    CHECK_EQ(shelves.longest("abcd", {.salt = "three"}), "-");
    CHECK_EQ(shelves.longest("abcd"), "-");
    shelves.run(1, stem + "X", 0, {.salt = "one"});
    CHECK(shelves.cache.is_coming(sequence(stem + "Y", {.salt = "one"}), 0));
    CHECK(!shelves.cache.is_coming(sequence(stem + "Y"), 0));
}

TEST("without trimming only what is a beginning as a whole is of use") {
    Shelves shelves(recurrent);
    shelves.hold(0, "abcX");
    shelves.hold(1, "ab");
    shelves.hold(2, "abcdef"); // its last token would have to be computed again
    shelves.store("abcdZ");
    CHECK_EQ(shelves.longest("abcdef"), "slot 1: 2");
    shelves.store("abcd");
    CHECK_EQ(shelves.longest("abcdef"), "store: 4");
    CHECK_EQ(shelves.longest("abcdefgh"), "slot 2: 6");
}

TEST("what another slot is computing is coming, if it is worth waiting for") {
    Shelves shelves;
    shelves.run(0, stem + "X", 0);
    CHECK(shelves.cache.is_coming(sequence(stem + "Y"), 0));
    CHECK(shelves.cache.is_coming(sequence(stem), 0));
    CHECK(!shelves.cache.is_coming(sequence("another " + stem), 0));
    CHECK(!shelves.cache.is_coming(sequence(stem.substr(0, 32)), 0)); // 31 of use
    shelves.at(0).advance(39);
    CHECK(shelves.cache.is_coming(sequence(stem + "Y"), 39)); // the last one of them is missing
    CHECK(!shelves.cache.is_coming(sequence(stem + "Y"), 40));
    shelves.at(0).advance(1);
    CHECK(!shelves.cache.is_coming(sequence(stem + "Y"), 0)); // it has come
}

TEST("who has more than the other slot so far waits for it only as long as it saves") {
    Shelves shelves;
    shelves.run(0, stem + stem + "X", 36);
    CHECK(shelves.cache.is_coming(sequence(stem + stem + "Y"), 36));
    CHECK(shelves.cache.is_coming(sequence(stem + stem + "Y"), 58)); // 22 behind, and 22 saved
    CHECK(!shelves.cache.is_coming(sequence(stem + stem + "Y"), 59));
}

TEST("nothing comes from a slot that is idle, that decodes, or that is less urgent") {
    FakeModel model;
    Shelves shelves;
    shelves.run(0, stem + "X", 10, {.priority = 1});
    CHECK(!shelves.cache.is_coming(sequence(stem + "Y", {.priority = 0}), 0));
    CHECK(shelves.cache.is_coming(sequence(stem + "Y", {.priority = 1}), 0));
    CHECK(shelves.cache.is_coming(sequence(stem + "Y", {.priority = 2}), 0));
    shelves.at(0).release();
    CHECK(!shelves.cache.is_coming(sequence(stem + "Y", {.priority = 1}), 0));
    shelves.run(1, stem, 40);
    shelves.at(1).sequence().append('x', std::nullopt, *model.runner());
    CHECK(!shelves.cache.is_coming(sequence(stem + "xY"), 0));
}

TEST("without trimming nothing is coming: the other prompt goes on beyond it") {
    Shelves shelves(recurrent);
    shelves.run(0, stem + "X", 0);
    CHECK(!shelves.cache.is_coming(sequence(stem + "Y"), 0));
}

TEST("with a sliding window a computed stream is cut only where it is, and a state not at all") {
    Shelves shelves(sliding_window);
    shelves.hold(0, "abcdX");
    CHECK_EQ(shelves.longest("abcdef"), "slot 0: 4");
    CHECK(!shelves.cache.longest(sequence("abcdef")).copies);
    CHECK(shelves.cache.longest(sequence("abcdXY")).copies); // as a whole
    shelves.run(1, "abcdeXYZ", 6);
    CHECK_EQ(shelves.longest("abcdef"), "slot 0: 4"); // what runs can only be copied
    shelves.store("abcdeZ");
    CHECK_EQ(shelves.longest("abcdef"), "slot 0: 4");
    shelves.store("abcde");
    CHECK_EQ(shelves.longest("abcdef"), "store: 5");
    shelves.at(2).start(std::make_unique<Sequence>(sequence("abcdefgh")), 6, /*n_fixed=*/6);
    shelves.at(2).advance(1);
    shelves.at(2).release();
    CHECK_EQ(shelves.longest("abcdefX"), "slot 2: 6");
    CHECK_EQ(shelves.longest("abcdefgX"), "slot 2: 7");
    CHECK_EQ(shelves.longest("abcdeX"), "store: 5");
}

TEST("with a sliding window something is coming only where cells are shared") {
    for (const bool unified : {false, true}) {
        RunnerLimits limits = sliding_window;
        limits.unified = unified;
        Shelves shelves(limits);
        shelves.run(0, stem + "X", 0);
        CHECK_EQ(shelves.cache.is_coming(sequence(stem + "Y"), 0), unified);
    }
}

TEST("what is lost is worth saving if it is long enough and held nowhere else") {
    Shelves shelves;
    shelves.hold(0, stem);
    const Slot &slot = shelves.at(0);
    CHECK(shelves.cache.worth_saving(slot, 0));
    CHECK(shelves.cache.worth_saving(slot, 8));
    CHECK(!shelves.cache.worth_saving(slot, 9)); // 31 tokens are lost
    shelves.hold(1, stem.substr(1));
    shelves.hold(2, stem + "X", {.salt = "another"});
    shelves.store(stem.substr(1));
    CHECK(shelves.cache.worth_saving(slot, 0)); // shorter ones and other salts do not hold it
    shelves.run(3, stem + "XYZ", 41);
    CHECK(!shelves.cache.worth_saving(slot, 0));
    shelves.at(3).clear();
    CHECK(shelves.cache.worth_saving(slot, 0));
    shelves.store(stem + "X");
    CHECK(!shelves.cache.worth_saving(slot, 0));
}

TEST("without trimming a longer one does not hold it") {
    Shelves shelves(recurrent);
    shelves.hold(0, stem);
    shelves.hold(1, stem + "X");
    shelves.store(stem + "X");
    CHECK(shelves.cache.worth_saving(shelves.at(0), 0));
    shelves.store(stem);
    CHECK(!shelves.cache.worth_saving(shelves.at(0), 0));
    shelves.hold(2, stem + "X");
    CHECK(!shelves.cache.worth_saving(shelves.at(1), 0));
}

TEST("nothing is worth saving where there is no store") {
    Shelves shelves({}, /*room=*/0);
    shelves.hold(0, stem);
    CHECK(!shelves.cache.worth_saving(shelves.at(0), 0));
}

TEST("a closed store holds nothing") {
    Shelves shelves;
    shelves.store("abcdef");
    shelves.cache.close_store();
    CHECK_EQ(shelves.longest("abcdef"), "-");
    CHECK(!shelves.cache.store().enabled());
}

TEST("a slot that does not hold the beginning of its sequence is noticed") {
    Shelves shelves;
    shelves.run(0, "abcdef", 3);
    shelves.cache.check_integrity();
    shelves.at(0).release();
    shelves.run(0, "abcdef", 6); // nothing is left to compute
    CHECK_THROWS(std::logic_error, shelves.cache.check_integrity());
}
