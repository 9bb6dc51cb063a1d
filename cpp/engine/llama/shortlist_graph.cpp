#include "llama/shortlist_graph.h"

#include <algorithm>

#include "core/logit_scan.h"

namespace llamad {

namespace {

constexpr auto kGroup = static_cast<std::int64_t>(LogitRow::kGroup);
constexpr std::int64_t kGroupsPerBlock = ShortlistLayout::kGroupsPerBlock;
constexpr std::int64_t kBlock = kGroup * kGroupsPerBlock;

// The maximum of each `n` neighbours in every row.
ggml_tensor *maxima(ggml_context *context, ggml_tensor *rows, std::int64_t n) {
    const auto size = static_cast<int>(n);
    return ggml_pool_2d(context, rows, GGML_OP_POOL_MAX, size, 1, size, 1, 0, 0);
}

// Of every row, cut into pieces of this size, those with these indices.
ggml_tensor *pieces(ggml_context *context, ggml_tensor *rows, std::int64_t size, ggml_tensor *indices) {
    const std::int64_t n_rows = rows->ne[1];
    ggml_tensor *cut = ggml_reshape_3d(context, rows, size, rows->ne[0] / size, n_rows);
    ggml_tensor *taken = ggml_get_rows(context, cut, indices);
    return ggml_reshape_2d(context, taken, size * indices->ne[0], n_rows);
}

ggml_tensor *columns(ggml_context *context, ggml_tensor *rows, std::int64_t begin, std::int64_t end) {
    return ggml_view_2d(context, rows, end - begin, rows->ne[1], rows->nb[1],
                        static_cast<std::size_t>(begin) * ggml_element_size(rows));
}

} // namespace

ShortlistLayout::ShortlistLayout(std::int32_t vocabulary)
    : n_vocab(vocabulary), n_blocked(n_vocab / kBlock * kBlock),
      n_blocks(std::min(kTaken, n_blocked / kBlock)), n_groups(std::min(kTaken, n_blocks * kGroupsPerBlock)),
      n_values(n_groups * kGroup + (n_vocab - n_blocked)), width(n_values + n_blocks + n_groups) {}

ShortlistTensors find_groups(ggml_context *context, ggml_tensor *logits) {
    const ShortlistLayout layout(static_cast<std::int32_t>(logits->ne[0]));
    const bool has_rest = layout.n_blocked < layout.n_vocab;
    ggml_tensor *blocked =
        has_rest ? ggml_cont(context, columns(context, logits, 0, layout.n_blocked)) : logits;
    ggml_tensor *group_maxima = maxima(context, blocked, kGroup);
    ggml_tensor *block_maxima = maxima(context, group_maxima, kGroupsPerBlock);
    ggml_tensor *blocks = ggml_argsort_top_k(context, block_maxima, static_cast<int>(layout.n_blocks));
    ggml_tensor *maxima_in_blocks = pieces(context, group_maxima, kGroupsPerBlock, blocks);
    ggml_tensor *groups = ggml_argsort_top_k(context, maxima_in_blocks, static_cast<int>(layout.n_groups));
    ggml_tensor *logits_in_blocks = pieces(context, blocked, kBlock, blocks);
    return {.groups = pieces(context, logits_in_blocks, kGroup, groups),
            .rest = has_rest ? columns(context, logits, layout.n_blocked, layout.n_vocab) : nullptr,
            .block_indices = ggml_cast(context, blocks, GGML_TYPE_F32),
            .group_indices = ggml_cast(context, groups, GGML_TYPE_F32)};
}

std::size_t groups_of(const ShortlistLayout &layout) {
    return static_cast<std::size_t>((layout.n_values + kGroup - 1) / kGroup);
}

LogitRow read_record(const ShortlistLayout &layout, std::span<float> record, std::span<TokenId> groups) {
    const auto n_values = static_cast<std::size_t>(layout.n_values);
    const auto n_taken = static_cast<std::size_t>(layout.n_groups);
    const std::span<float> blocks = record.subspan(n_values);
    const std::span<float> taken = blocks.subspan(static_cast<std::size_t>(layout.n_blocks));
    for (std::size_t i = 0; i < n_taken; ++i) {
        const auto index = static_cast<std::int64_t>(taken[i]);
        const auto block =
            static_cast<std::int64_t>(blocks[static_cast<std::size_t>(index / kGroupsPerBlock)]);
        groups[i] = static_cast<TokenId>((block * kGroupsPerBlock + index % kGroupsPerBlock) * kGroup);
    }
    for (std::size_t i = n_taken; i < groups.size(); ++i) {
        groups[i] = static_cast<TokenId>(layout.n_blocked + static_cast<std::int64_t>(i - n_taken) * kGroup);
    }
    const std::span<float> values = record.first(n_values);
    const auto last = values.subspan((n_taken - 1) * LogitRow::kGroup, LogitRow::kGroup);
    return {values, groups, max_logit(last)};
}

} // namespace llamad
