// Token sequences in order, so that the one which shares most with a query is next to where it would stand.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/stored_prefix.h"

namespace llamad {

// Length of the common beginning, of which `n_known` tokens are known to be equal.
std::size_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b, std::size_t n_known = 0);

// Keeps pointers to prefixes that do not change as long as they are in here; those of one salt are sorted
// by their tokens, and no two are equal. Lookups allocate nothing.
class SortedPrefixes {
  public:
    struct Item {
        EntryId id = 0;
        const StoredPrefix *prefix = nullptr;
    };
    // items[index - 1] < query <= items[index], where there are such; each shares so many tokens with the
    // query, and no other item of this salt shares more than both.
    struct Place {
        std::span<const Item> items; // of the query's salt
        std::size_t index = 0;
        std::size_t shared_before = 0;
        std::size_t shared_after = 0;

        const Item *before() const { return index > 0 ? &items[index - 1] : nullptr; }
        const Item *after() const { return index < items.size() ? &items[index] : nullptr; }
        // The items around this place that begin with `beginning`, the nearest few of them.
        std::span<const Item> sharing(std::span<const TokenId> beginning) const;
    };

    // Reads about as many tokens as the query has, plus a few per comparison, however much the items have
    // in common.
    Place locate(std::span<const TokenId> query, std::string_view salt) const;

    // The longest item whose tokens are a prefix of the query, or null.
    const Item *longest_prefix_of(std::span<const TokenId> query, std::string_view salt) const;

    void insert(EntryId id, const StoredPrefix &prefix);
    void erase(const StoredPrefix &prefix);

    // Throws std::logic_error where an order is wrong; returns the number of items.
    std::size_t check_integrity() const;

  private:
    std::map<std::string, std::vector<Item>, std::less<>> by_salt_;
};

} // namespace llamad
