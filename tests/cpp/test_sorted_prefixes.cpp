#include <list>
#include <random>

#include "store_rig.h"

#include "core/sorted_prefixes.h"

using namespace llamad;

namespace {

// Text of an item, or "-".
std::string show(const SortedPrefixes::Item *item) {
    return item == nullptr ? "-" : std::string(item->prefix->tokens.begin(), item->prefix->tokens.end());
}

struct Shelf {
    Shelf(std::initializer_list<std::string_view> texts) {
        for (const std::string_view text : texts) {
            add(text);
        }
    }
    void add(std::string_view text, std::string_view salt = "") {
        index.insert(prefixes.size() + 1, prefixes.emplace_back(prefix_of(text, salt)));
    }
    // "before:shared after:shared"
    std::string locate(std::string_view query, std::string_view salt = "") const {
        const SortedPrefixes::Place place = index.locate(tokens_of(query), salt);
        return show(place.before()) + ":" + std::to_string(place.shared_before) + " " + show(place.after()) +
               ":" + std::to_string(place.shared_after);
    }
    std::string longest(std::string_view query, std::string_view salt = "") const {
        return show(index.longest_prefix_of(tokens_of(query), salt));
    }

    std::list<StoredPrefix> prefixes;
    SortedPrefixes index;
};

std::string random_text(std::mt19937 &random, std::size_t most) {
    std::string text(1 + random() % most, 'a');
    for (char &letter : text) {
        letter = static_cast<char>('a' + random() % 2);
    }
    return text;
}

} // namespace

TEST("the common prefix ends at the first difference or at an end") {
    const std::vector<TokenId> text = tokens_of("abcd");
    CHECK_EQ(common_prefix(text, tokens_of("abxd")), 2);
    CHECK_EQ(common_prefix(text, tokens_of("ab")), 2);
    CHECK_EQ(common_prefix(text, tokens_of("abcdef"), 3), 4);
    CHECK_EQ(common_prefix(text, {}), 0);
    CHECK_EQ(common_prefix(text, tokens_of("zzcd"), 2), 4); // what is known is not compared
}

TEST("the neighbours of a query and what they share with it") {
    const Shelf shelf{"abd", "b", "abb", "ca"};
    CHECK_EQ(shelf.locate("abc"), "abb:2 abd:2");
    CHECK_EQ(shelf.locate("abbz"), "abb:3 abd:2");
    CHECK_EQ(shelf.locate("abd"), "abb:2 abd:3");
    CHECK_EQ(shelf.locate("a"), "-:0 abb:1");
    CHECK_EQ(shelf.locate("cb"), "ca:1 -:0");
    CHECK_EQ(shelf.locate(""), "-:0 abb:0");
    CHECK_EQ(Shelf{}.locate("a"), "-:0 -:0");
}

TEST("a salt has an order of its own") {
    Shelf shelf{"ab"};
    shelf.add("ax", "salt");
    CHECK_EQ(shelf.locate("ab", "salt"), "-:0 ax:1");
    CHECK_EQ(shelf.locate("ab"), "-:0 ab:2");
    CHECK_EQ(shelf.locate("ab", "another"), "-:0 -:0");
    CHECK_EQ(shelf.longest("axe", "salt"), "ax");
    CHECK_EQ(shelf.longest("axe", "another"), "-");
    CHECK_EQ(shelf.index.check_integrity(), 2);
    shelf.index.erase(shelf.prefixes.back());
    CHECK_EQ(shelf.locate("ab", "salt"), "-:0 -:0");
    CHECK_EQ(shelf.index.check_integrity(), 1);
}

TEST("the longest prefix of a query is behind those that only share a part") {
    const Shelf shelf{"ab", "abba", "abbab", "abbb", "abbba", "c"};
    CHECK_EQ(shelf.longest("abbac"), "abba");
    CHECK_EQ(shelf.longest("abbbc"), "abbb");
    CHECK_EQ(shelf.longest("abb"), "ab"); // "abba" and "abbb" share more, and are no prefix
    CHECK_EQ(shelf.longest("abbab"), "abbab");
    CHECK_EQ(shelf.longest("a"), "-");
    CHECK_EQ(shelf.longest("bz"), "-");
    CHECK_EQ(shelf.longest(""), "-");
}

TEST("a staircase of prompts does not make a search long") {
    Shelf shelf{"a"};
    const std::string query(500, 'b');
    for (std::size_t i = 0; i < query.size(); ++i) {
        shelf.add(query.substr(0, i) + "aa"); // each is just before the query, and shares one token more
    }
    shelf.add(query.substr(0, 490));
    CHECK_EQ(shelf.longest(query), query.substr(0, 490)); // near the top
    shelf.index.erase(shelf.prefixes.back());
    shelf.add("b");
    CHECK_EQ(shelf.longest(query), "-"); // too far down
}

TEST("those that begin alike are found on both sides, the nearest few") {
    Shelf shelf{"aa", "ab", "ba", "bb", "bc", "ca"};
    const SortedPrefixes::Place place = shelf.index.locate(tokens_of("bbb"), "");
    std::string found;
    for (const SortedPrefixes::Item &item : place.sharing(tokens_of("b"))) {
        found += show(&item) + " ";
    }
    CHECK_EQ(found, "ba bb bc ");
    for (int i = 0; i < 100; ++i) {
        shelf.add("bd" + std::to_string(i));
    }
    const SortedPrefixes::Place crowded = shelf.index.locate(tokens_of("bd5"), "");
    CHECK_EQ(crowded.sharing(tokens_of("bd")).size(), 32);
}

TEST("whatever is in the index, lookups find what a search through everything finds") {
    std::mt19937 random(7);
    for (int round = 0; round < 200; ++round) {
        Shelf shelf{};
        for (std::size_t i = 0, n = random() % 20; i < n; ++i) {
            const std::string text = random_text(random, 8);
            if (shelf.longest(text) != text) {
                shelf.add(text);
            }
        }
        CHECK_EQ(shelf.index.check_integrity(), shelf.prefixes.size());
        for (int lookup = 0; lookup < 20; ++lookup) {
            const std::string query = random_text(random, 10);
            const std::vector<TokenId> tokens = tokens_of(query);
            std::size_t most_shared = 0;
            std::string longest = "-";
            for (const StoredPrefix &prefix : shelf.prefixes) {
                const std::string text(prefix.tokens.begin(), prefix.tokens.end());
                most_shared = std::max(most_shared, common_prefix(prefix.tokens, tokens));
                if (query.starts_with(text) && (longest == "-" || text.size() > longest.size())) {
                    longest = text;
                }
            }
            const SortedPrefixes::Place place = shelf.index.locate(tokens, "");
            CHECK_EQ(std::max(place.shared_before, place.shared_after), most_shared);
            CHECK(place.before() == nullptr || place.before()->prefix->tokens < tokens);
            CHECK(place.after() == nullptr || place.after()->prefix->tokens >= tokens);
            CHECK_EQ(shelf.longest(query), longest);
        }
    }
}
