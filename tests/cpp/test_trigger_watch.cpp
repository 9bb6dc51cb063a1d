#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"

#include "core/trigger_watch.h"

using namespace llamad;

namespace {

Trigger word(std::string text) { return {.kind = Trigger::Kind::kWord, .text = std::move(text)}; }
Trigger pattern(std::string text) { return {.kind = Trigger::Kind::kPattern, .text = std::move(text)}; }

const Thinking thinking_tags{.start = "<think>", .ends = {"</think>", "<end>"}, .open = false};

// Says the pieces. What the first trigger makes the grammar begin with, after the number of its last piece
// and a ':'; "" for none.
std::string triggered(const std::vector<std::string> &pieces, const std::vector<Trigger> &triggers,
                      const Thinking &thinking = {}) {
    TriggerWatch watch(triggers, thinking);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        if (const auto found = watch.push(pieces[i])) {
            return std::to_string(i) + ":" + *found;
        }
    }
    return "";
}

std::vector<std::string> letters(std::string_view text) {
    std::vector<std::string> pieces;
    for (const char c : text) {
        pieces.emplace_back(1, c);
    }
    return pieces;
}

} // namespace

TEST("a word triggers, and the grammar begins with it") {
    CHECK_EQ(triggered({"I ", "will <t", "ool", "> now"}, {word("<tool>")}), "3:<tool> now");
    CHECK_EQ(triggered({"<tool>"}, {word("<tool>")}), "0:<tool>");
    CHECK_EQ(triggered({"<too", "l "}, {word("<tool>")}), "");
    CHECK_EQ(triggered({"a", "[CALL]"}, {word("x"), word("[CALL]")}), "1:[CALL]");
}

TEST("the first of several words counts") {
    CHECK_EQ(triggered({"<b><a>"}, {word("<a>"), word("<b>")}), "0:<b><a>");
}

TEST("what is said while thinking does not count") {
    const std::vector<Trigger> tool{word("<tool>")};
    CHECK_EQ(triggered(letters("<think>a <tool>? no</think>"), tool, thinking_tags), "");
    CHECK_EQ(triggered({"<think>", "<tool>", "</think>", "<tool>"}, tool, thinking_tags), "3:<tool>");
    CHECK_EQ(triggered({"<think><tool><end><tool>"}, tool, thinking_tags), "0:<tool>");
    CHECK_EQ(triggered({"<tool><think>"}, tool, thinking_tags), "0:<tool><think>");
    Thinking open = thinking_tags;
    open.open = true;
    CHECK_EQ(triggered({"<tool>", "</think>", "<tool>"}, tool, open), "2:<tool>");
}

TEST("patterns are found in the tail, anchored ones at the beginning only") {
    CHECK_EQ(triggered({"<start>", "assistant", " to"}, {pattern("<start>assistant(\\s+to)")}), "2: to");
    CHECK_EQ(triggered({"a<start>", "b"}, {pattern("<start>(x)?")}), "0:<start>");
    CHECK_EQ(triggered({" ", "to"}, {pattern("^\\s+to$")}), "1: to");
    CHECK_EQ(triggered({"x", " to"}, {pattern("^\\s+to$")}), "");
    std::vector<std::string> late(400, "x");
    late.insert(late.end(), {" to"});
    CHECK_EQ(triggered(late, {pattern("^\\s+to$")}), "");
}

TEST("however the text is cut and however late it is said, the word is found") {
    std::mt19937 random(7);
    for (int round = 0; round < 300; ++round) {
        const std::string before =
            std::string(random() % 2000, 'a') + "<<tool" + std::string(random() % 9, '<');
        const std::string text = before + "<tool>" + std::string(random() % 5, 'z');
        std::vector<std::string> pieces;
        for (std::size_t at = 0; at < text.size();) {
            pieces.push_back(text.substr(at, random() % 7));
            at += pieces.back().size();
        }
        const std::string found = triggered(pieces, {word("<tool>")});
        const std::size_t colon = found.find(':');
        REQUIRE(colon != std::string::npos);
        std::string said;
        for (std::size_t i = 0; i <= std::stoul(found); ++i) {
            said += pieces[i];
        }
        CHECK_EQ(before + found.substr(colon + 1), said);
    }
}

TEST("after ten thousand tokens it holds no more than the tail") {
    TriggerWatch watch({word("<tool>"), pattern("^some words")}, thinking_tags);
    bool early = false;
    for (int i = 0; i < 10'000; ++i) {
        early = watch.push(i == 0 ? "Some words and <too" : "some words and <too").has_value() || early;
    }
    CHECK(!early);
    CHECK_EQ(watch.push("l>").value_or(""), "<tool>");
}
