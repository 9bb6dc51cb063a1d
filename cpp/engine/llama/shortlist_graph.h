// The computation that finds the likeliest tokens of rows of logits, as operations of a ggml graph; and how
// its result is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ggml.h"

#include "core/logit_row.h"
#include "core/types.h"

namespace llamad {

// What is kept of each row: a record of float32, [values | indices of the taken blocks | of the taken groups,
// counted through the taken blocks]. A block is kGroupsPerBlock groups of LogitRow::kGroup logits each.
struct ShortlistLayout {
    static constexpr std::int64_t kGroupsPerBlock = 16;
    static constexpr std::int64_t kTaken = 64; // blocks, and then groups

    explicit ShortlistLayout(std::int32_t n_vocab);

    std::int64_t n_vocab;
    std::int64_t n_blocked; // logits in whole blocks; the others are all kept
    std::int64_t n_blocks;  // taken
    std::int64_t n_groups;  // taken
    std::int64_t n_values;  // logits kept
    std::int64_t width;     // of a record
};

struct ShortlistTensors {
    ggml_tensor *groups; // [LogitRow::kGroup * n_groups, rows], the group with the largest maximum first
    ggml_tensor *rest;   // [n_vocab - n_blocked, rows]; null if empty
    ggml_tensor *block_indices; // [n_blocks, rows], float32 as the rest of the record
    ggml_tensor *group_indices; // [n_groups, rows]
};

// 1. Take the maximum of each group, and of each block.
// 2. Take the blocks with the largest maxima, and of the groups in these those with the largest maxima.
// So no logit of a whole block that is left out is above the least maximum of a taken group. It takes as many
// operations for one row as for all of them, none of which sorts more than 1,024 values.
// `logits`: [n_vocab, rows], contiguous, at least one row.
ShortlistTensors find_groups(ggml_context *context, ggml_tensor *logits);

// Reads a record. `groups`: room for groups_of(layout) tokens, which the result refers to like to the record.
LogitRow read_record(const ShortlistLayout &layout, std::span<float> record, std::span<TokenId> groups);

// How many groups a record's values are.
std::size_t groups_of(const ShortlistLayout &layout);

} // namespace llamad
