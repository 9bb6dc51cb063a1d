#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"

#include "core/detokenizer.h"

using namespace llamad;

namespace {

// U+FFFD `n` times.
std::string replaced(int n) {
    std::string text;
    for (int i = 0; i < n; ++i) {
        text += "\uFFFD";
    }
    return text;
}

std::string detokenize(const std::vector<std::string_view> &pieces) {
    Detokenizer detokenizer;
    std::string out;
    for (const std::string_view piece : pieces) {
        detokenizer.push(piece, out);
    }
    detokenizer.flush(out);
    return out;
}

std::vector<std::string_view> single_bytes(std::string_view bytes) {
    std::vector<std::string_view> pieces;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        pieces.push_back(bytes.substr(i, 1));
    }
    return pieces;
}

// Length of the character that starts `text`, 0 if it is ill-formed. Decodes by arithmetic, unlike the
// detokenizer, which goes by ranges of bytes.
std::size_t character_length(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text[0]);
    const auto length = static_cast<std::size_t>(std::max(1, std::countl_one(lead)));
    if ((lead >= 0x80 && lead < 0xC0) || length > 4 || length > text.size()) {
        return 0;
    }
    std::uint32_t code = length == 1 ? lead : lead & (0x7FU >> length);
    for (const char next : text.substr(1, length - 1)) {
        if ((static_cast<unsigned char>(next) & 0xC0U) != 0x80) {
            return 0;
        }
        code = code << 6U | (static_cast<unsigned char>(next) & 0x3FU);
    }
    constexpr std::array<std::uint32_t, 5> kLowest{0, 0, 0x80, 0x800, 0x10000};
    const bool is_surrogate = code >= 0xD800 && code < 0xE000;
    return code < kLowest.at(length) || code > 0x10FFFF || is_surrogate ? 0 : length;
}

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const std::size_t length = character_length(text);
        if (length == 0) {
            return false;
        }
        text.remove_prefix(length);
    }
    return true;
}

} // namespace

TEST("well-formed text passes unchanged, however it is split in two or three") {
    const std::string text =
        "a\u00e9\u20ac\U0001F600z\u0080\u07ff\u0800\ud7fb\ue000\uffff\U00010000\U0010ffff\n";
    const std::string_view view = text;
    for (std::size_t i = 0; i <= view.size(); ++i) {
        for (std::size_t j = i; j <= view.size(); ++j) {
            CHECK_EQ(detokenize({view.substr(0, i), view.substr(i, j - i), view.substr(j)}), text);
        }
    }
    CHECK_EQ(detokenize(single_bytes(text)), text);
}

TEST("a character is held back until its last byte") {
    Detokenizer detokenizer;
    std::string out;
    detokenizer.push("x\xF0\x9F", out);
    CHECK_EQ(out, "x");
    detokenizer.push("\x98", out);
    detokenizer.push("", out);
    CHECK_EQ(out, "x");
    detokenizer.push("\x80y", out);
    CHECK_EQ(out, "x\U0001F600y");
}

TEST("an incomplete end becomes one replacement character, and is then forgotten") {
    for (const std::string_view end : {"\xC3", "\xE2\x82", "\xE2", "\xF0", "\xF0\x9F", "\xF0\x9F\x98"}) {
        Detokenizer detokenizer;
        std::string out;
        detokenizer.push(end, out);
        CHECK_EQ(out, "");
        detokenizer.flush(out);
        detokenizer.flush(out);
        CHECK_EQ(out, replaced(1));
        detokenizer.push("\x80!", out); // does not continue what was flushed
        CHECK_EQ(out, replaced(2) + "!");
    }
}

TEST("each maximal ill-formed part becomes one replacement character") {
    // The examples of the Unicode standard, tables 3-8 to 3-11.
    CHECK_EQ(detokenize({"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"}), replaced(8) + "A");
    CHECK_EQ(detokenize({"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"}), replaced(8) + "A");
    CHECK_EQ(detokenize({"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"}), replaced(5) + "A" + replaced(2) + "B");
    CHECK_EQ(detokenize({"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"}), replaced(4) + "A");
    // A character that another one interrupts.
    CHECK_EQ(detokenize({"\xE2\x82", "\u20ac"}), replaced(1) + "\u20ac");
    CHECK_EQ(detokenize({"\xF5\x80", "\xC1\xBF", "\xFE"}), replaced(5));
}

TEST("any bytes in any pieces give the same valid text as in one piece") {
    std::mt19937 random(20240517);
    // Bytes at the borders of the ranges, so that near misses are common.
    const std::string_view palette =
        "aZ\x7F\x80\x8F\x90\x9F\xA0\xBF\xC0\xC1\xC2\xDF\xE0\xE1\xEC\xED\xEE\xEF\xF0\xF1\xF3\xF4\xF5\xFF";
    for (int round = 0; round < 5000; ++round) {
        std::string bytes;
        for (std::size_t n = random() % 24; n > 0; --n) {
            bytes +=
                random() % 4 == 0 ? static_cast<char>(random() % 256) : palette[random() % palette.size()];
        }
        const std::string whole = detokenize({bytes});
        CHECK(is_utf8(whole));
        CHECK(!is_utf8(bytes) || whole == bytes);
        CHECK_EQ(detokenize(single_bytes(bytes)), whole);
        std::vector<std::string_view> pieces;
        for (std::string_view rest = bytes; !rest.empty();) {
            const std::size_t n = 1 + random() % rest.size();
            pieces.push_back(rest.substr(0, n));
            rest.remove_prefix(n);
        }
        CHECK_EQ(detokenize(pieces), whole);
    }
}

TEST("what has been put out is valid at any time") {
    std::mt19937 random(7);
    Detokenizer detokenizer;
    std::string out;
    for (int round = 0; round < 20000; ++round) {
        const char byte = static_cast<char>(random() % 256);
        const std::size_t before = out.size();
        detokenizer.push({&byte, 1}, out);
        CHECK(is_utf8(std::string_view(out).substr(before)));
    }
}
