#include "core/decode_shape.h"

#include <algorithm>
#include <bit>

namespace llamad {

namespace {

// llama.cpp's attention looks at a multiple of so many cells (llama-kv-cache.cpp, get_n_kv).
constexpr std::size_t kCells = 256;

constexpr std::size_t kMostRowsPerToken = 2;

} // namespace

SlotRange padded(const SlotRange &tokens, std::size_t n_tokens, std::size_t n_slots) {
    const SlotRange beginning{.begin = 0, .end = std::min(std::bit_ceil(tokens.end), n_slots)};
    const auto is_worth_it = [&](const SlotRange &range) {
        return range.end - range.begin <= kMostRowsPerToken * n_tokens;
    };
    if (n_tokens > 1 && is_worth_it(beginning)) {
        return beginning;
    }
    return is_worth_it(tokens) ? tokens : SlotRange{.begin = tokens.begin, .end = tokens.begin};
}

bool takes_padding(std::size_t n_held, std::size_t n_longest, std::size_t n_ctx) {
    const std::size_t n_looked_at = (n_longest + kCells - 1) / kCells * kCells;
    return n_held + kMostPadding <= std::min(n_looked_at, n_ctx);
}

} // namespace llamad
