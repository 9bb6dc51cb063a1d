#include "core/host_store.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace llamad {

struct HostStore::Entry {
    EntryId id = 0;
    StoredPrefix prefix;
    std::size_t state_size = 0;           // bytes
    std::shared_ptr<const KvState> state; // null: not in memory
    std::size_t file_size = 0;            // bytes; 0: not on disk
    bool fetching = false;
    std::uint64_t n_uses = 0;
    double value = 0;

    bool in_memory() const { return state != nullptr; }
    bool on_disk() const { return file_size > 0; }
};

HostStore::HostStore(Limits limits, std::unique_ptr<DiskStore> disk)
    : limits_(limits), disk_(std::move(disk)), next_id_(disk_ ? disk_->next_id() : 1) {}

HostStore::~HostStore() = default;

void HostStore::put(StoredPrefix prefix, KvState state) {
    if (prefix.tokens.empty() || state.size == 0 || state.size > limits_.max_bytes) {
        return;
    }
    auto shared = std::make_shared<const KvState>(std::move(state));
    if (Entry *holder = find_holder(prefix)) {
        refresh(*holder);
        if (!holder->in_memory() && holder->prefix.tokens.size() == prefix.tokens.size()) {
            hold(*holder, std::move(shared));
        }
        return;
    }
    Entry &entry = add(next_id_++, std::move(prefix), shared->size);
    hold(entry, std::move(shared));
    if (disk_) {
        const std::size_t file_size = disk_->file_size(entry.prefix, entry.state_size);
        if (file_size <= disk_->max_bytes() && disk_->write(entry.id, entry.prefix, entry.state)) {
            keep_on_disk(entry, file_size);
        }
    }
}

bool HostStore::persist_all() {
    if (disk_ == nullptr || !disk_->can_write()) {
        return false;
    }
    disk_->accept_all();
    return true;
}

std::optional<HostStore::Match> HostStore::match(std::span<const TokenId> tokens, std::string_view salt,
                                                 std::size_t most) const {
    const std::span<const TokenId> query = tokens.first(std::min(most, tokens.size()));
    if (!limits_.can_trim) {
        const SortedPrefixes::Item *item = index_.longest_prefix_of(query, salt);
        if (item == nullptr) {
            return std::nullopt;
        }
        return Match{.id = item->id,
                     .n_shared = item->prefix->tokens.size(),
                     .in_memory = find(item->id)->in_memory()};
    }
    const SortedPrefixes::Place place = index_.locate(query, salt);
    const std::size_t n_shared = std::max(place.shared_before, place.shared_after);
    if (n_shared == 0) {
        return std::nullopt;
    }
    // Others that share as much may be in memory, where the nearest is not.
    const Entry *best = nullptr;
    for (const SortedPrefixes::Item &item : place.sharing(query.first(n_shared))) {
        const Entry *entry = find(item.id);
        if (best == nullptr || entry->in_memory()) {
            best = entry;
        }
        if (best->in_memory()) {
            break;
        }
    }
    return Match{.id = best->id, .n_shared = n_shared, .in_memory = best->in_memory()};
}

std::span<const std::byte> HostStore::state(EntryId id) {
    Entry *entry = find(id);
    if (entry == nullptr || !entry->in_memory()) {
        return {};
    }
    ++entry->n_uses;
    refresh(*entry);
    return entry->state->bytes();
}

void HostStore::fetch(EntryId id) {
    Entry *entry = find(id);
    if (entry != nullptr && !entry->in_memory() && !entry->fetching) {
        entry->fetching = true;
        disk_->read(id);
    }
}

void HostStore::check_in() {
    if (!disk_) {
        return;
    }
    for (DiskEvent &event : disk_->take()) {
        switch (event.kind) {
        case DiskEvent::Kind::kFound:
            found(std::move(event));
            break;
        case DiskEvent::Kind::kLoaded:
            loaded(std::move(event));
            break;
        case DiskEvent::Kind::kGone:
            gone(event.id);
            break;
        }
    }
}

void HostStore::found(DiskEvent event) {
    if (event.state_size > limits_.max_bytes || event.file_size > disk_->max_bytes() ||
        find_holder(event.prefix) != nullptr) {
        disk_->erase(event.id);
        return;
    }
    keep_on_disk(add(event.id, std::move(event.prefix), event.state_size), event.file_size);
}

void HostStore::loaded(DiskEvent event) {
    Entry *entry = find(event.id);
    if (entry == nullptr || entry->in_memory()) {
        return;
    }
    entry->fetching = false;
    // Files can be moved about: nobody shall get the state of other tokens than the index says.
    if (event.prefix != entry->prefix || event.state->size != entry->state_size) {
        remove(*entry);
        return;
    }
    hold(*entry, std::move(event.state));
}

void HostStore::gone(EntryId id) {
    Entry *entry = find(id);
    if (entry == nullptr) {
        return;
    }
    entry->fetching = false;
    disk_bytes_ -= std::exchange(entry->file_size, 0);
    if (!entry->in_memory()) {
        remove(*entry);
    }
}

void HostStore::drop(EntryId id) {
    if (Entry *entry = find(id)) {
        remove(*entry);
    }
}

HostStore::Entry *HostStore::find(EntryId id) const {
    const auto found = entries_.find(id);
    return found == entries_.end() ? nullptr : found->second.get();
}

HostStore::Entry *HostStore::find_holder(const StoredPrefix &prefix) const {
    const SortedPrefixes::Place place = index_.locate(prefix.tokens, prefix.salt);
    if (place.after() == nullptr || place.shared_after < prefix.tokens.size()) {
        return nullptr;
    }
    const bool equal = place.after()->prefix->tokens.size() == prefix.tokens.size();
    return limits_.can_trim || equal ? find(place.after()->id) : nullptr;
}

HostStore::Entry &HostStore::add(EntryId id, StoredPrefix prefix, std::size_t state_size) {
    auto entry = std::make_unique<Entry>();
    entry->id = id;
    entry->state_size = state_size;
    if (limits_.can_trim) {
        // There is at most one prefix of this one: two would be one of the other. And what stands between
        // it and this one would begin with it.
        const SortedPrefixes::Place place = index_.locate(prefix.tokens, prefix.salt);
        if (place.before() != nullptr && place.shared_before == place.before()->prefix->tokens.size()) {
            Entry *redundant = find(place.before()->id);
            entry->n_uses = redundant->n_uses; // the same conversation, which has gone on
            remove(*redundant);
        }
    }
    entry->prefix = std::move(prefix);
    refresh(*entry);
    Entry &added = *(entries_[id] = std::move(entry));
    index_.insert(id, added.prefix);
    return added;
}

void HostStore::remove(Entry &entry) {
    bytes_ -= entry.in_memory() ? entry.state_size : 0;
    if (entry.on_disk()) {
        leave_disk(entry);
    }
    index_.erase(entry.prefix);
    entries_.erase(entry.id);
}

void HostStore::hold(Entry &entry, std::shared_ptr<const KvState> state) {
    while (bytes_ + state->size > limits_.max_bytes) {
        evict_from_memory(least_valuable([](const Entry &other) { return other.in_memory(); }));
    }
    entry.state_size = state->size;
    entry.state = std::move(state);
    entry.fetching = false;
    bytes_ += entry.state_size;
    refresh(entry);
}

void HostStore::evict_from_memory(Entry &entry) {
    greedy_dual_.evicted(entry.value);
    ++n_evicted_;
    if (!entry.on_disk()) {
        remove(entry);
        return;
    }
    bytes_ -= entry.state_size;
    entry.state.reset();
}

void HostStore::keep_on_disk(Entry &entry, std::size_t file_size) {
    entry.file_size = file_size;
    disk_bytes_ += file_size;
    while (disk_bytes_ > disk_->max_bytes()) {
        Entry &victim = least_valuable([](const Entry &other) { return other.on_disk(); });
        leave_disk(victim);
        if (!victim.in_memory()) {
            remove(victim);
        }
    }
}

void HostStore::leave_disk(Entry &entry) {
    disk_bytes_ -= std::exchange(entry.file_size, 0);
    disk_->erase(entry.id);
}

HostStore::Entry &HostStore::least_valuable(Tier tier) const {
    Entry *least = nullptr;
    for (const auto &[id, entry] : entries_) {
        if (tier(*entry) &&
            (least == nullptr || std::pair(entry->value, id) < std::pair(least->value, least->id))) {
            least = entry.get();
        }
    }
    return *least; // a tier over its limit holds something
}

void HostStore::refresh(Entry &entry) const {
    entry.value = greedy_dual_.value(entry.prefix.tokens.size(), entry.state_size, entry.n_uses);
}

void HostStore::check_integrity() const {
    const auto require = [](bool ok, const std::string &what) {
        if (!ok) {
            throw std::logic_error("host store: " + what);
        }
    };
    std::size_t bytes = 0;
    std::size_t disk_bytes = 0;
    for (const auto &[id, entry] : entries_) {
        const std::string name = "entry " + std::to_string(id);
        require(entry->id == id, name + " bears another id");
        require(entry->in_memory() || entry->on_disk(), name + " is nowhere");
        require(!entry->on_disk() || disk_ != nullptr, name + " is on a disk that is not there");
        require(!entry->fetching || !entry->in_memory(), name + " is fetched though in memory");
        require(!entry->in_memory() || entry->state->size == entry->state_size, name + " has another size");
        bytes += entry->in_memory() ? entry->state_size : 0;
        disk_bytes += entry->file_size;
        // The index finds it, and nothing that makes it redundant.
        const SortedPrefixes::Place place = index_.locate(entry->prefix.tokens, entry->prefix.salt);
        require(place.after() != nullptr && place.after()->prefix == &entry->prefix,
                name + " is not indexed");
        const SortedPrefixes::Place next{.items = place.items, .index = place.index + 1};
        require(!limits_.can_trim || next.after() == nullptr ||
                    common_prefix(next.after()->prefix->tokens, entry->prefix.tokens) <
                        entry->prefix.tokens.size(),
                name + " is redundant");
    }
    require(index_.check_integrity() == entries_.size(), "the index holds something else than the entries");
    require(bytes == bytes_ && bytes <= limits_.max_bytes, "the bytes in memory do not add up");
    require(disk_bytes == disk_bytes_ && (!disk_ || disk_bytes <= disk_->max_bytes()),
            "the bytes on disk do not add up");
}

} // namespace llamad
