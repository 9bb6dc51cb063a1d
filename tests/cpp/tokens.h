// Texts as tokens: one byte, one token.
#pragma once

#include <string_view>
#include <vector>

#include "core/types.h"

namespace llamad {

using Tokens = std::vector<TokenId>;

inline Tokens tokens_of(std::string_view text) {
    Tokens tokens;
    for (const char byte : text) {
        tokens.push_back(static_cast<unsigned char>(byte));
    }
    return tokens;
}

} // namespace llamad
