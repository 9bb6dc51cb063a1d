// The store against a model of it that searches through everything.
#include <algorithm>
#include <random>

#include "store_rig.h"

#include "core/host_store.h"

using namespace llamad;

namespace {

struct Held {
    EntryId id = 0;
    StoredPrefix prefix;
    std::size_t size = 0;
    std::uint64_t n_uses = 0;
    double value = 0;
};

bool begins_with(const std::vector<TokenId> &tokens, const std::vector<TokenId> &beginning) {
    return tokens.size() >= beginning.size() &&
           std::equal(beginning.begin(), beginning.end(), tokens.begin());
}

class Model {
  public:
    explicit Model(HostStore::Limits limits) : limits_(limits) {}

    void put(const StoredPrefix &prefix, std::size_t size) {
        if (size > limits_.max_bytes) {
            return;
        }
        Held *holder = nullptr; // of several the first in order
        for (Held &held : held_) {
            if (makes_redundant(held.prefix, prefix) &&
                (holder == nullptr || held.prefix.tokens < holder->prefix.tokens)) {
                holder = &held;
            }
        }
        if (holder != nullptr) {
            refresh(*holder);
            return;
        }
        Held added{.id = ++last_id_, .prefix = prefix, .size = size};
        std::erase_if(held_, [&](const Held &held) {
            const bool redundant = makes_redundant(prefix, held.prefix);
            added.n_uses += redundant ? held.n_uses : 0;
            return redundant;
        });
        while (bytes() + size > limits_.max_bytes) {
            const auto least = std::min_element(held_.begin(), held_.end(), [](const Held &a, const Held &b) {
                return std::pair(a.value, a.id) < std::pair(b.value, b.id);
            });
            dual_.evicted(least->value);
            ++n_evicted;
            held_.erase(least);
        }
        refresh(added);
        held_.push_back(added);
    }

    std::size_t match(const StoredPrefix &query, std::size_t most) const {
        const std::span<const TokenId> tokens =
            std::span(query.tokens).first(std::min(most, query.tokens.size()));
        std::size_t best = 0;
        for (const Held &held : held_) {
            const std::size_t shared = common_prefix(held.prefix.tokens, tokens);
            if (held.prefix.salt == query.salt && (limits_.can_trim || shared == held.prefix.tokens.size())) {
                best = std::max(best, shared);
            }
        }
        return best;
    }

    const Held *find(EntryId id) const {
        const auto found =
            std::find_if(held_.begin(), held_.end(), [&](const Held &h) { return h.id == id; });
        return found == held_.end() ? nullptr : &*found;
    }
    void use(EntryId id) {
        for (Held &held : held_) {
            if (held.id == id) {
                ++held.n_uses;
                refresh(held);
            }
        }
    }
    void drop(EntryId id) {
        std::erase_if(held_, [&](const Held &held) { return held.id == id; });
    }
    std::size_t bytes() const {
        std::size_t sum = 0;
        for (const Held &held : held_) {
            sum += held.size;
        }
        return sum;
    }
    std::size_t n_entries() const { return held_.size(); }

    std::uint64_t n_evicted = 0;

  private:
    // Is `other` of no use beside `prefix`?
    bool makes_redundant(const StoredPrefix &prefix, const StoredPrefix &other) const {
        return prefix.salt == other.salt &&
               (limits_.can_trim ? begins_with(prefix.tokens, other.tokens) : prefix.tokens == other.tokens);
    }
    void refresh(Held &held) { held.value = dual_.value(held.prefix.tokens.size(), held.size, held.n_uses); }

    HostStore::Limits limits_;
    GreedyDual dual_;
    EntryId last_id_ = 0;
    std::vector<Held> held_;
};

// Prompts of a few conversations, which have long beginnings in common.
StoredPrefix random_prefix(std::mt19937 &random) {
    std::string text(random() % 3 * 20, 's');
    for (std::size_t i = 0, n = 1 + random() % 6; i < n; ++i) {
        text += static_cast<char>('a' + random() % 3);
    }
    return prefix_of(text, random() % 4 == 0 ? "salt" : "");
}

std::string text_of(const StoredPrefix &prefix) { return {prefix.tokens.begin(), prefix.tokens.end()}; }

void compare(bool can_trim, std::uint32_t seed) {
    const HostStore::Limits limits{.max_bytes = 4000, .can_trim = can_trim};
    std::mt19937 random(seed);
    HostStore store(limits);
    Model model(limits);
    for (int step = 0; step < 5000; ++step) {
        const StoredPrefix prefix = random_prefix(random);
        if (random() % 2 == 0) {
            const std::size_t size = random() % 100 == 0 ? 4001 : 80 + random() % 200;
            store.put(prefix, state_of(text_of(prefix), size, prefix.salt));
            model.put(prefix, size);
        } else {
            const std::size_t most = random() % 3 == 0 ? random() % 50 : 1000;
            const auto match = store.match(prefix.tokens, prefix.salt, most);
            CHECK_EQ(match ? match->n_shared : 0, model.match(prefix, most));
            if (match) {
                const Held *held = model.find(match->id);
                REQUIRE(held != nullptr && match->in_memory);
                CHECK_EQ(label_of(store.state(match->id)), held->prefix.salt + "/" + text_of(held->prefix));
                CHECK_EQ(held->prefix.salt, prefix.salt);
                CHECK(common_prefix(held->prefix.tokens, prefix.tokens) >= match->n_shared);
                model.use(match->id);
                if (random() % 10 == 0) {
                    store.drop(match->id);
                    model.drop(match->id);
                }
            }
        }
        store.check_integrity();
        REQUIRE(store.bytes() == model.bytes() && store.n_entries() == model.n_entries() &&
                store.n_evicted() == model.n_evicted);
    }
    CHECK(store.n_evicted() > 100); // else the test would have tested little
}

} // namespace

TEST("5,000 random steps with trimming") { compare(true, 1); }
TEST("5,000 random steps without trimming") { compare(false, 2); }
