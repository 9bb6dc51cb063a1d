// ggml's FLASH_ATTN_EXT in the words of this room.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ggml.h"

#include "attention/block.h"

namespace llamad::attention {

// A query is a row of one head; the heads of a group share keys and values. The rows of a KV head are
// numbered token by token: row r is token r / group, and head r % group of the group.
class Operands {
  public:
    explicit Operands(ggml_tensor *node);

    // Whether types, sizes and layout are those that this room computes.
    bool are_ours() const;

    int n_rows() const { return n_tokens * group; }

    Cells cells(int stream, int kv_head) const;
    const float *query(int stream, int kv_head, int row) const;
    float *output(int stream, int kv_head, int row) const;
    const std::uint16_t *mask(int stream, int kv_head, int row) const; // null: every cell is seen
    float slope(int kv_head, int row) const;                           // of the mask, for ALiBi; else 1
    const float *sink(int kv_head, int row) const;                     // a score without a value, or null

    std::ptrdiff_t key_size, value_size;
    int n_tokens, n_streams, n_cells, n_kv_heads, group;
    float scale;

  private:
    int head_of(int kv_head, int row) const { return kv_head * group + row % group; }

    const ggml_tensor *queries_, *keys_, *values_, *mask_, *sinks_;
    ggml_tensor *outputs_;
    float max_bias_, softcap_;
};

} // namespace llamad::attention
