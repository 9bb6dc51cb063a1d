#include "core/detokenizer.h"

#include <cstddef>
#include <cstdint>

#include "core/utf8.h"

namespace llamad {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD"; // U+FFFD

enum class Outcome : std::uint8_t { kWhole, kIncomplete, kIllFormed };

struct Scan {
    Outcome outcome;
    std::size_t length; // bytes that the outcome covers, at least 1
};

// Looks at the character that starts `bytes`, which is not empty.
Scan scan(std::string_view bytes) {
    const LeadByte lead = classify_lead_byte(static_cast<std::uint8_t>(bytes[0]));
    if (lead.length == 0) {
        return {Outcome::kIllFormed, 1};
    }
    for (std::size_t i = 1; i < lead.length; ++i) {
        if (i == bytes.size()) {
            return {Outcome::kIncomplete, i};
        }
        const auto byte = static_cast<std::uint8_t>(bytes[i]);
        const std::uint8_t low = i == 1 ? lead.low : 0x80;
        const std::uint8_t high = i == 1 ? lead.high : 0xBF;
        if (byte < low || byte > high) {
            return {Outcome::kIllFormed, i};
        }
    }
    return {Outcome::kWhole, lead.length};
}

} // namespace

void Detokenizer::push(std::string_view bytes, std::string &out) {
    if (!held_.empty()) {
        held_.append(bytes);
        bytes = held_;
    }
    std::size_t done = 0;
    std::string rest;
    while (done < bytes.size()) {
        const Scan next = scan(bytes.substr(done));
        if (next.outcome == Outcome::kIncomplete) {
            rest = bytes.substr(done);
            break;
        }
        out.append(next.outcome == Outcome::kWhole ? bytes.substr(done, next.length) : kReplacement);
        done += next.length;
    }
    held_ = std::move(rest);
}

void Detokenizer::flush(std::string &out) {
    if (!held_.empty()) {
        out.append(kReplacement);
        held_.clear();
    }
}

} // namespace llamad
