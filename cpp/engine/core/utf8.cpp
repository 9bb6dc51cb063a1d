#include "core/utf8.h"

namespace llamad {

LeadByte classify_lead_byte(std::uint8_t byte) {
    if (byte < 0x80) {
        return {1, 0, 0};
    }
    if (byte >= 0xC2 && byte <= 0xDF) {
        return {2, 0x80, 0xBF};
    }
    if (byte >= 0xE0 && byte <= 0xEF) {
        return {3, static_cast<std::uint8_t>(byte == 0xE0 ? 0xA0 : 0x80),
                static_cast<std::uint8_t>(byte == 0xED ? 0x9F : 0xBF)};
    }
    if (byte >= 0xF0 && byte <= 0xF4) {
        return {4, static_cast<std::uint8_t>(byte == 0xF0 ? 0x90 : 0x80),
                static_cast<std::uint8_t>(byte == 0xF4 ? 0x8F : 0xBF)};
    }
    return {0, 0, 0};
}

bool Utf8Reader::take(std::uint8_t byte) {
    if (n_missing_ > 0) {
        value_ = (value_ << 6U) | (byte & 0x3FU);
        --n_missing_;
        const bool fits = byte >= low_ && byte <= high_;
        low_ = 0x80;
        high_ = 0xBF;
        return fits;
    }
    const LeadByte lead = classify_lead_byte(byte);
    if (lead.length == 0) {
        return false;
    }
    n_missing_ = lead.length - 1;
    low_ = lead.low;
    high_ = lead.high;
    value_ = lead.length == 1 ? byte : byte & (0x7FU >> lead.length);
    return true;
}

char32_t Utf8Reader::range_end(std::uint8_t next, std::uint8_t others) const {
    char32_t value = value_;
    for (std::size_t i = 0; i < n_missing_; ++i) {
        value = (value << 6U) | (i == 0 ? next & 0x3FU : others);
    }
    return value;
}

} // namespace llamad
