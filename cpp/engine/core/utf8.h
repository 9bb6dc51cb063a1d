// UTF-8 as Unicode 15 defines it in section 3.9: without overlong forms and surrogates.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llamad {

struct LeadByte {
    std::size_t length; // of the character; 0: no character starts with this byte
    std::uint8_t low;   // range of the second byte, which excludes overlong forms and surrogates
    std::uint8_t high;
};

LeadByte classify_lead_byte(std::uint8_t byte);

// Reads characters byte by byte.
class Utf8Reader {
  public:
    // False: no text goes on like this, and the reader is of no further use.
    bool take(std::uint8_t byte);

    bool is_whole() const { return n_missing_ == 0; }

    // What the last character is, or may become while it is not whole: one of the code points from lowest()
    // to highest().
    char32_t lowest() const { return range_end(low_, 0x00); }
    char32_t highest() const { return range_end(high_, 0x3F); }

  private:
    char32_t range_end(std::uint8_t next, std::uint8_t others) const;

    char32_t value_ = 0;
    std::size_t n_missing_ = 0;
    std::uint8_t low_ = 0; // of the next byte
    std::uint8_t high_ = 0;
};

} // namespace llamad
