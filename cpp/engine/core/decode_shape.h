// Which slots a padded batch of next tokens covers.
#pragma once

#include <cstddef>

namespace llamad {

// Most tokens that padding leaves in a slot before they are dropped: dropping goes through all cells of its
// stream, so it is not done at every step.
inline constexpr std::size_t kMostPadding = 32;

// Slots [begin, end).
struct SlotRange {
    std::size_t begin = 0;
    std::size_t end = 0;

    bool operator==(const SlotRange &) const = default;
};

// What llama.cpp computes in one go are consecutive KV streams, and it keeps the graph, and with it what a
// GPU has captured of it, only as long as these are the same. So a batch of several covers a beginning of the
// slots whose size is a power of two, and who comes and goes in there changes nothing.
//
// `tokens`: from the first slot with a next token to behind the last. `n_tokens`: so many of these have one.
//  1. One alone is not padded: it is the same from its first token to its last.
//  2. Where the beginning would have more than twice as many rows as tokens, only what is between them is
//     filled;
//  3. and where even that would, nothing: an empty range at the first.
SlotRange padded(const SlotRange &tokens, std::size_t n_tokens, std::size_t n_slots);

// Whether an idle slot that holds so many tokens can be padded where the longest of the others has
// `n_longest` positions: a longer one would make attention look at more cells for all of them.
bool takes_padding(std::size_t n_held, std::size_t n_longest, std::size_t n_ctx);

} // namespace llamad
