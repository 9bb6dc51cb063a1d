#include "core/sorted_prefixes.h"

#include <algorithm>
#include <stdexcept>

namespace llamad {

namespace {

// Searches of longest_prefix_of(). Each looks among shorter items only, and two or three do unless somebody
// has stored a staircase of prompts; giving up there costs a match, going on would cost time at each step.
constexpr int kMostSearches = 64;

// Items that sharing() looks at on each side: comparing them costs the engine thread time at each step.
constexpr std::size_t kMostNeighbours = 16;

// Binary search that compares from where the query is known to differ from both ends of the range: all in
// between share at least that much with it (Manber and Myers, "Suffix arrays", 1990).
SortedPrefixes::Place locate_in(std::span<const SortedPrefixes::Item> items, std::span<const TokenId> query) {
    SortedPrefixes::Place place{.items = items, .index = items.size()};
    std::size_t low = 0;
    while (low < place.index) {
        const std::size_t middle = low + (place.index - low) / 2;
        const std::vector<TokenId> &tokens = items[middle].prefix->tokens;
        const std::size_t shared =
            common_prefix(tokens, query, std::min(place.shared_before, place.shared_after));
        const bool is_before =
            shared < query.size() && (shared == tokens.size() || tokens[shared] < query[shared]);
        if (is_before) {
            low = middle + 1;
            place.shared_before = shared;
        } else {
            place.index = middle;
            place.shared_after = shared;
        }
    }
    return place;
}

} // namespace

// By blocks, as far as that goes: a thousand tokens of a shared instruction are compared for every slot and
// at every step that somebody waits.
std::size_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b, std::size_t n_known) {
    constexpr std::size_t kBlock = 64;
    const std::size_t most = std::min(a.size(), b.size());
    std::size_t n = n_known;
    while (n + kBlock <= most && std::equal(a.begin() + static_cast<std::ptrdiff_t>(n),
                                            a.begin() + static_cast<std::ptrdiff_t>(n + kBlock),
                                            b.begin() + static_cast<std::ptrdiff_t>(n))) {
        n += kBlock;
    }
    while (n < most && a[n] == b[n]) {
        ++n;
    }
    return n;
}

std::span<const SortedPrefixes::Item>
SortedPrefixes::Place::sharing(std::span<const TokenId> beginning) const {
    const auto shares = [&](std::size_t i) {
        return common_prefix(items[i].prefix->tokens, beginning) == beginning.size();
    };
    const std::size_t last = std::min(items.size(), index + kMostNeighbours);
    const std::size_t first = index - std::min(index, kMostNeighbours);
    std::size_t end = index;
    while (end < last && shares(end)) {
        ++end;
    }
    std::size_t begin = index;
    while (begin > first && shares(begin - 1)) {
        --begin;
    }
    return items.subspan(begin, end - begin);
}

SortedPrefixes::Place SortedPrefixes::locate(std::span<const TokenId> query, std::string_view salt) const {
    const auto group = by_salt_.find(salt);
    return group == by_salt_.end() ? Place{} : locate_in(group->second, query);
}

const SortedPrefixes::Item *SortedPrefixes::longest_prefix_of(std::span<const TokenId> query,
                                                              std::string_view salt) const {
    const auto group = by_salt_.find(salt);
    std::span<const Item> items;
    if (group != by_salt_.end()) {
        items = group->second;
    }
    for (int search = 0; search < kMostSearches && !query.empty(); ++search) {
        const Place place = locate_in(items, query);
        if (place.after() != nullptr && place.after()->prefix->tokens.size() == place.shared_after &&
            place.shared_after == query.size()) {
            return place.after();
        }
        if (place.before() != nullptr && place.before()->prefix->tokens.size() == place.shared_before) {
            return place.shared_before > 0 ? place.before() : nullptr;
        }
        // Whatever is a prefix of the query stands before it, and so is one of what its neighbour there
        // shares with it.
        query = query.first(place.shared_before);
        items = items.first(place.index);
    }
    return nullptr;
}

void SortedPrefixes::insert(EntryId id, const StoredPrefix &prefix) {
    std::vector<Item> &items = by_salt_[prefix.salt];
    const Place place = locate_in(items, prefix.tokens);
    items.insert(items.begin() + static_cast<std::ptrdiff_t>(place.index), {.id = id, .prefix = &prefix});
}

void SortedPrefixes::erase(const StoredPrefix &prefix) {
    const auto group = by_salt_.find(prefix.salt);
    const Place place = locate_in(group->second, prefix.tokens);
    group->second.erase(group->second.begin() + static_cast<std::ptrdiff_t>(place.index));
    if (group->second.empty()) {
        by_salt_.erase(group);
    }
}

std::size_t SortedPrefixes::check_integrity() const {
    std::size_t n_items = 0;
    for (const auto &[salt, items] : by_salt_) {
        n_items += items.size();
        if (items.empty()) {
            throw std::logic_error("sorted prefixes: a salt without items");
        }
        for (std::size_t i = 0; i < items.size(); ++i) {
            if (items[i].prefix->salt != salt) {
                throw std::logic_error("sorted prefixes: an item under another's salt");
            }
            if (i > 0 && !(items[i - 1].prefix->tokens < items[i].prefix->tokens)) {
                throw std::logic_error("sorted prefixes: items out of order");
            }
        }
    }
    return n_items;
}

} // namespace llamad
