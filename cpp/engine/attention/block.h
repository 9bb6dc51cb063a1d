// Attention of a few queries to a block of one head's cells.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llamad::attention {

// Cells that are looked at together: a head's keys and values of so many stay in the L1 cache between
// queries.
inline constexpr int kBlock = 64;

// One head of one stream's KV cache: rows of 16-bit floats, a row for each cell.
struct Cells {
    const std::uint16_t *keys;
    const std::uint16_t *values;
    std::size_t key_stride; // elements between the rows of two cells
    std::size_t value_stride;
    std::ptrdiff_t key_size; // elements of a row, a multiple of the processor's lanes
    std::ptrdiff_t value_size;
};

// A query, and what it has seen so far.
struct Query {
    const std::uint16_t *mask; // a 16-bit float for each cell, added to its score; null: nothing is
    float slope;               // what the mask is multiplied by
    float largest;             // score so far; minus infinity at first
    float sum;                 // of exp(score - largest); 0 at first
};

// Lets `n` queries see the cells [first, last), at most kBlock. `vectors` are the queries, n rows of key_size
// floats, scaled already. `outputs` are the sums of exp(score - largest) * value, n rows of value_size
// floats.
void see(const Cells &cells, int first, int last, Query *queries, const float *vectors, float *outputs,
         int n);

} // namespace llamad::attention
