// What a KV state outside the model's memory is the state of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/types.h"

namespace llamad {

using EntryId = std::uint64_t; // of a stored state: never 0, never reused within one store

struct StoredPrefix {
    std::vector<TokenId> tokens; // from position 0
    std::string salt;            // states are only shared between equal salts

    bool operator==(const StoredPrefix &) const = default;
};

} // namespace llamad
