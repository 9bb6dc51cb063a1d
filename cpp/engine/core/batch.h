// One call of the model: rows of (token, position, slot).
#pragma once

#include <vector>

#include "core/types.h"

namespace llamad {

struct Row {
    TokenId token;
    Pos pos;
    SlotId slot;
    bool wants_logits; // the next token is sampled from this row, or its probability is asked for

    bool operator==(const Row &) const = default;
};

// Rows of one slot stand together with rising positions; slots rise as well, because llama.cpp can
// only compute *consecutive* KV streams in one go (llama-batch.cpp, split_equal with sequential ids).
using Batch = std::vector<Row>;

} // namespace llamad
