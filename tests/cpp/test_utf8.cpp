#include <string>
#include <string_view>

#include "check.h"

#include "core/utf8.h"

using namespace llamad;

namespace {

bool takes(Utf8Reader &reader, std::string_view bytes) {
    for (const char byte : bytes) {
        if (!reader.take(static_cast<std::uint8_t>(byte))) {
            return false;
        }
    }
    return true;
}

std::string encode(char32_t c) {
    const auto tail = [c](unsigned shift) { return static_cast<char>(0x80U | ((c >> shift) & 0x3FU)); };
    if (c < 0x80) {
        return {static_cast<char>(c)};
    }
    if (c < 0x800) {
        return {static_cast<char>(0xC0U | (c >> 6U)), tail(0)};
    }
    if (c < 0x10000) {
        return {static_cast<char>(0xE0U | (c >> 12U)), tail(6), tail(0)};
    }
    return {static_cast<char>(0xF0U | (c >> 18U)), tail(12), tail(6), tail(0)};
}

} // namespace

TEST("every character is read, and promised by its first bytes; surrogates are none") {
    for (char32_t c = 0; c <= 0x10FFFF; ++c) {
        const bool is_surrogate = c >= 0xD800 && c <= 0xDFFF;
        Utf8Reader reader;
        bool promised = true;
        bool fits = true;
        for (const char byte : encode(c)) {
            fits = fits && reader.take(static_cast<std::uint8_t>(byte));
            promised = promised && reader.lowest() <= c && c <= reader.highest();
        }
        if (fits == is_surrogate ||
            (fits && !(promised && reader.is_whole() && reader.lowest() == c && reader.highest() == c))) {
            check::fail(__FILE__, __LINE__, std::to_string(static_cast<unsigned>(c)));
        }
    }
}

TEST("what may become of a first byte") {
    Utf8Reader reader;
    CHECK(reader.take(0xF4) && !reader.is_whole());
    CHECK(reader.lowest() == 0x100000 && reader.highest() == 0x10FFFF);
    Utf8Reader other;
    CHECK(other.take(0xE0) && other.lowest() == 0x800 && other.highest() == 0xFFF);
    CHECK(other.take(0xA1) && other.lowest() == 0x840 && other.highest() == 0x87F);
}

TEST("bytes that make no character are refused") {
    for (const std::string_view bytes :
         {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80", "\xE0\x9F", "\xED\xA0", "\xF0\x86", "\xF4\x90", "\xF5",
          "\xFF", "\xE6\xBC\x61", "\xC3\xC3"}) {
        Utf8Reader reader;
        CHECK(!takes(reader, bytes));
    }
}
