#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"

#include "core/stop_matcher.h"

using namespace llamad;

namespace {

struct Shown {
    std::string text;
    std::optional<std::size_t> match;

    bool operator==(const Shown &) const = default;
};

// Pushes the pieces until one completes a stop string; flushes if none does.
Shown match(const std::vector<std::string> &stops, const std::vector<std::string> &pieces) {
    StopMatcher matcher(stops);
    Shown shown;
    for (const std::string &piece : pieces) {
        shown.match = matcher.push(piece, shown.text);
        if (shown.match) {
            return shown;
        }
    }
    matcher.flush(shown.text);
    return shown;
}

// The same by definition: looks through all the text after every piece.
Shown match_naively(const std::vector<std::string> &stops, const std::vector<std::string> &pieces) {
    std::string text;
    for (const std::string &piece : pieces) {
        text += piece;
        for (std::size_t at = 0; at < text.size(); ++at) {
            std::optional<std::size_t> longest;
            for (std::size_t i = 0; i < stops.size(); ++i) {
                if (text.compare(at, stops[i].size(), stops[i]) == 0 &&
                    (!longest || stops[i].size() > stops[*longest].size())) {
                    longest = i;
                }
            }
            if (longest) {
                return {text.substr(0, at), longest};
            }
        }
    }
    return {text, std::nullopt};
}

std::vector<std::string> single_characters(const std::string &text) {
    std::vector<std::string> pieces;
    for (const char c : text) {
        pieces.emplace_back(1, c);
    }
    return pieces;
}

} // namespace

TEST("without stop strings all text passes at once") {
    StopMatcher matcher({});
    std::string out;
    CHECK(!matcher.push("abc", out));
    CHECK_EQ(out, "abc");
}

TEST("a stop string is found across every border, and never shown") {
    const std::string text = "before STOP after";
    for (std::size_t i = 0; i <= text.size(); ++i) {
        for (std::size_t j = i; j <= text.size(); ++j) {
            CHECK_EQ(match({"STOP"}, {text.substr(0, i), text.substr(i, j - i), text.substr(j)}),
                     Shown{"before ", 0});
        }
    }
    CHECK_EQ(match({"STOP"}, single_characters(text)), Shown{"before ", 0});
}

TEST("no part of a stop string is shown early, and nothing else is held back") {
    StopMatcher matcher({"<end>"});
    std::string out;
    CHECK(!matcher.push("ab<en", out));
    CHECK_EQ(out, "ab");
    CHECK(!matcher.push("c<e", out));
    CHECK_EQ(out, "ab<enc");
    CHECK(!matcher.push("<", out)); // the newer beginning is the one that may go on
    CHECK_EQ(out, "ab<enc<e");
    CHECK_EQ(matcher.push("end>tail", out), std::optional<std::size_t>(0));
    CHECK_EQ(out, "ab<enc<e");
    CHECK_EQ(matcher.stop(0), "<end>");
}

TEST("overlapping beginnings") {
    for (const auto &pieces :
         {std::vector<std::string>{"aaab"}, {"aa", "ab"}, {"a", "a", "a", "b"}, {"aaa", "b"}}) {
        CHECK_EQ(match({"aab"}, pieces), Shown{"a", 0});
    }
    CHECK_EQ(match({"abab"}, single_characters("aababab")), Shown{"a", 0});
    CHECK_EQ(match({"ababac"}, single_characters("abababac")), Shown{"ab", 0});
}

TEST("of several stop strings the one that begins first wins, then the longest, then the first named") {
    CHECK_EQ(match({"world", "lo w"}, {"hello world"}), Shown{"hel", 1});
    CHECK_EQ(match({"##", "###", "#"}, {"a###"}), Shown{"a", 1});
    CHECK_EQ(match({"#", "##"}, {"a##"}), Shown{"a", 1});
    CHECK_EQ(match({"x", "ab", "ab"}, {"ab"}), Shown{"", 1});
    // A shorter one that is complete is not put off for a longer one that may never be.
    CHECK_EQ(match({"#", "##"}, {"a#", "#"}), Shown{"a", 0});
    CHECK_EQ(match({"abcd", "bc"}, {"abc", "d"}), Shown{"a", 1});
}

TEST("what was held back is not lost when the text ends") {
    CHECK_EQ(match({"STOP"}, {"not a STO"}), Shown{"not a STO", std::nullopt});
    StopMatcher matcher({"ab"});
    std::string out;
    CHECK(!matcher.push("a", out));
    matcher.flush(out);
    matcher.flush(out);
    CHECK_EQ(out, "a");
}

TEST("any text in any pieces is matched as by definition") {
    std::mt19937 random(99);
    const auto word = [&random](std::size_t longest) {
        std::string text;
        for (std::size_t n = 1 + random() % longest; n > 0; --n) {
            text += "aabc"[random() % 4];
        }
        return text;
    };
    int n_matches = 0;
    for (int round = 0; round < 20000; ++round) {
        std::vector<std::string> stops;
        for (std::size_t n = 1 + random() % 3; n > 0; --n) {
            stops.push_back(word(5));
        }
        std::vector<std::string> pieces;
        for (std::size_t n = 1 + random() % 5; n > 0; --n) {
            pieces.push_back(word(4));
        }
        const Shown expected = match_naively(stops, pieces);
        CHECK_EQ(match(stops, pieces), expected);
        n_matches += expected.match ? 1 : 0;
    }
    CHECK(n_matches > 2000 && n_matches < 19900); // both outcomes were tried
}
