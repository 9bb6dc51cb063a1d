#include "store_rig.h"

#include "core/host_store.h"

using namespace llamad;

namespace {

constexpr std::size_t kAll = 1000; // tokens

// A store of states of 100 bytes each, addressed by text.
struct Shelf {
    explicit Shelf(std::size_t room, bool can_trim = true)
        : store({.max_bytes = 100 * room, .can_trim = can_trim}) {}

    void put(std::string_view text, std::string_view salt = "") {
        store.put(prefix_of(text, salt), state_of(text, 100, salt));
        store.check_integrity();
    }
    // How many tokens the best match shares, or "-". Not a use.
    std::string match(std::string_view query, std::string_view salt = "", std::size_t most = kAll) const {
        const auto match = store.match(tokens_of(query), salt, most);
        return match ? std::to_string(match->n_shared) : "-";
    }
    // The label of the best match, which is used.
    std::string use(std::string_view query, std::string_view salt = "") {
        const auto match = store.match(tokens_of(query), salt, kAll);
        return match ? label_of(store.state(match->id)) : "-";
    }

    HostStore store;
};

} // namespace

TEST("a stored state is found by its tokens, its beginning and its continuations") {
    Shelf shelf(10);
    shelf.put("abcd");
    CHECK_EQ(shelf.match("abcd"), "4");
    CHECK_EQ(shelf.match("abcdef"), "4");
    CHECK_EQ(shelf.match("abx"), "2");
    CHECK_EQ(shelf.match("xab"), "-");
    CHECK_EQ(shelf.match(""), "-");
    CHECK_EQ(shelf.use("abcd"), "/abcd");
}

TEST("of several states the one that shares most is taken") {
    Shelf shelf(10);
    shelf.put("abcxx");
    shelf.put("abcdy");
    shelf.put("abz");
    CHECK_EQ(shelf.match("abcdef"), "4");
    CHECK_EQ(shelf.use("abcdef"), "/abcdy");
    CHECK_EQ(shelf.use("abzz"), "/abz");
}

TEST("no more tokens are of use than asked for") {
    Shelf shelf(10);
    shelf.put("abcd");
    CHECK_EQ(shelf.match("abcd", "", 3), "3");
    CHECK_EQ(shelf.match("abcd", "", 0), "-");
    Shelf whole(10, false);
    whole.put("abcd");
    whole.put("ab");
    CHECK_EQ(whole.match("abcd", "", 3), "2");
    CHECK_EQ(whole.match("abcd", "", 4), "4");
    CHECK_EQ(whole.match("abcd", "", 1), "-");
}

TEST("where streams cannot be trimmed, only whole states match") {
    Shelf shelf(10, false);
    shelf.put("ab");
    shelf.put("abcd");
    shelf.put("abcx");
    CHECK_EQ(shelf.match("abcd"), "4");
    CHECK_EQ(shelf.match("abcdef"), "4");
    CHECK_EQ(shelf.match("abc"), "2");
    CHECK_EQ(shelf.match("abcz"), "2");
    CHECK_EQ(shelf.match("a"), "-");
    CHECK_EQ(shelf.use("abcy"), "/ab");
}

TEST("salts do not see each other's states") {
    Shelf shelf(10);
    shelf.put("abcd", "mine");
    CHECK_EQ(shelf.match("abcd"), "-");
    CHECK_EQ(shelf.match("abcd", "yours"), "-");
    CHECK_EQ(shelf.match("abcd", "mine"), "4");
    shelf.put("abc", "yours");
    CHECK_EQ(shelf.use("abcd", "yours"), "yours/abc");
    CHECK_EQ(shelf.use("abcd", "mine"), "mine/abcd");
    CHECK_EQ(shelf.store.n_entries(), 2);
}

TEST("with trimming, a state that another one begins with is redundant") {
    Shelf shelf(10);
    shelf.put("ab");
    shelf.put("abcd"); // absorbs it
    CHECK_EQ(shelf.store.n_entries(), 1);
    CHECK_EQ(shelf.use("ab"), "/abcd");
    shelf.put("abc"); // has nothing to add
    CHECK_EQ(shelf.store.n_entries(), 1);
    shelf.put("abx");
    CHECK_EQ(shelf.store.n_entries(), 2);
    CHECK_EQ(shelf.store.bytes(), 200);
    CHECK_EQ(shelf.store.n_evicted(), 0);
}

TEST("without trimming, only equal states are redundant") {
    Shelf shelf(10, false);
    shelf.put("ab");
    shelf.put("abcd");
    shelf.put("ab");
    CHECK_EQ(shelf.store.n_entries(), 2);
    CHECK_EQ(shelf.store.bytes(), 200);
}

TEST("what was used least recently goes first") {
    Shelf shelf(3);
    shelf.put("aa");
    shelf.put("bb");
    shelf.put("cc");
    shelf.put("dd");
    CHECK_EQ(shelf.match("aa"), "-");
    shelf.put("bb"); // here already: only its time is new
    shelf.put("ee");
    CHECK_EQ(shelf.match("bb"), "2");
    CHECK_EQ(shelf.match("cc"), "-");
    CHECK_EQ(shelf.store.n_evicted(), 2);
    CHECK_EQ(shelf.store.bytes(), 300);
}

TEST("what was used often stays longer, and not for ever") {
    Shelf shelf(2);
    shelf.put("aa");
    CHECK_EQ(shelf.use("aa"), "/aa");
    CHECK_EQ(shelf.use("aa"), "/aa");
    shelf.put("bb");
    shelf.put("cc");
    CHECK_EQ(shelf.match("aa"), "2");
    CHECK_EQ(shelf.match("bb"), "-");
    std::size_t n_puts = 0;
    for (; n_puts < 20 && shelf.match("aa") == "2"; ++n_puts) {
        shelf.put(std::to_string(n_puts) + "x");
    }
    CHECK(n_puts > 1);
    CHECK(n_puts < 10);
}

TEST("a conversation that goes on keeps the standing it has earned") {
    Shelf shelf(2);
    shelf.put("aa");
    CHECK_EQ(shelf.use("aa"), "/aa");
    shelf.put("aab");
    shelf.put("bbb");
    shelf.put("ccc");
    CHECK_EQ(shelf.match("aab"), "3");
    CHECK_EQ(shelf.match("bbb"), "-");
}

TEST("per byte, long states are worth more than short ones") {
    HostStore store({.max_bytes = 3000, .can_trim = true});
    const auto put = [&](char letter, std::size_t n) {
        store.put(prefix_of(std::string(n, letter)), state_of("", n));
    };
    put('a', 1000);
    put('b', 500);
    put('c', 1000);
    put('d', 1000); // 'b' goes, though 'a' is older
    store.check_integrity();
    CHECK_EQ(store.bytes(), 3000);
    CHECK(!store.match(tokens_of("b"), "", kAll));
    CHECK(store.match(tokens_of("a"), "", kAll).has_value());
}

TEST("as many go as are needed to make room") {
    HostStore store({.max_bytes = 300, .can_trim = true});
    store.put(prefix_of("a"), state_of("a", 100));
    store.put(prefix_of("b"), state_of("b", 100));
    store.put(prefix_of("c"), state_of("c", 100));
    store.put(prefix_of("d"), state_of("d", 201));
    store.check_integrity();
    CHECK_EQ(store.n_entries(), 1);
    CHECK_EQ(store.bytes(), 201);
    CHECK_EQ(store.n_evicted(), 3);
}

TEST("what does not fit at all is not stored, and costs nobody a place") {
    Shelf shelf(1);
    shelf.put("a");
    shelf.store.put(prefix_of("b"), state_of("b", 101));
    shelf.store.put(prefix_of("c"), KvState{});
    shelf.store.put(prefix_of(""), state_of("", 50));
    CHECK_EQ(shelf.store.n_entries(), 1);
    CHECK_EQ(shelf.use("a"), "/a");
    Shelf off(0);
    off.put("a");
    CHECK_EQ(off.store.n_entries(), 0);
    CHECK_EQ(off.match("a"), "-");
}

TEST("a dropped state is gone") {
    Shelf shelf(2);
    shelf.put("abc");
    const auto match = shelf.store.match(tokens_of("abc"), "", kAll);
    REQUIRE(match && match->in_memory);
    const EntryId id = match->id;
    shelf.store.drop(id);
    shelf.store.check_integrity();
    CHECK_EQ(shelf.match("abc"), "-");
    CHECK_EQ(shelf.store.bytes(), 0);
    CHECK(shelf.store.state(id).empty());
    shelf.store.drop(id); // no matter
    shelf.store.fetch(id);
    shelf.store.check_in();
    CHECK_EQ(shelf.store.n_entries(), 0);
}

TEST("values: recent, long and often used is worth more; the clock never goes back") {
    GreedyDual dual;
    CHECK(dual.value(200, 1000, 0) > 2 * dual.value(100, 1000, 0)); // more than linear
    CHECK_EQ(dual.value(100, 1000, 3), 4 * dual.value(100, 1000, 0));
    CHECK(dual.value(100, 2000, 0) < dual.value(100, 1000, 0));
    const double before = dual.value(100, 1000, 0);
    dual.evicted(before);
    CHECK_EQ(dual.value(100, 1000, 0), 2 * before);
    dual.evicted(before / 2);
    CHECK_EQ(dual.value(100, 1000, 0), 2 * before);
}
