// The host store with a disk behind it.
#include "store_rig.h"

#include "core/host_store.h"

using namespace llamad;

namespace {

constexpr std::size_t kAll = 1000;      // tokens
constexpr std::size_t kFileSize = 1100; // bytes, at most: of a state of 1,000

struct Room {
    std::size_t memory = 10; // states of 1,000 bytes
    std::size_t disk = 10;
    bool can_trim = true;
};

struct Desk {
    explicit Desk(Room room = {}) { open(room); }

    void open(Room room) {
        store.reset(); // one at a time
        store = std::make_unique<HostStore>(
            HostStore::Limits{.max_bytes = room.memory * 1000, .can_trim = room.can_trim},
            std::make_unique<DiskStore>(DiskStore::Options{
                .directory = directory.path(), .identity = "model", .max_bytes = room.disk * kFileSize}));
    }
    void put(std::string_view text, std::string_view salt = "") const {
        store->put(prefix_of(text, salt), state_of(text, 1000, salt));
        store->check_integrity();
    }
    std::optional<HostStore::Match> match(std::string_view text, std::string_view salt = "") const {
        return store->match(tokens_of(text), salt, kAll);
    }
    // "3" tokens match in memory, "3 on disk", or "-".
    std::string show(std::string_view text) const {
        const auto found = match(text);
        return found ? std::to_string(found->n_shared) + (found->in_memory ? "" : " on disk") : "-";
    }
    // The label of the best match, fetched if need be.
    std::string use(std::string_view text) const {
        auto found = match(text);
        if (found) {
            store->fetch(found->id);
        }
        CHECK(eventually([&] {
            store->check_in();
            found = match(text);
            return !found || found->in_memory;
        }));
        store->check_integrity();
        return found ? label_of(store->state(found->id)) : "-";
    }
    EntryId id_of(std::string_view text) const {
        const auto found = match(text);
        REQUIRE(found.has_value());
        return found->id;
    }
    // Waits until the index holds `n` entries.
    bool holds(std::size_t n) const {
        return eventually([&] {
            store->check_in();
            store->check_integrity();
            return store->n_entries() == n;
        });
    }
    // Waits until there are `n` files.
    bool has_files(std::size_t n) const {
        return eventually([&] {
            store->check_in();
            return files().size() == n;
        });
    }
    std::vector<std::filesystem::path> files() const { return files_in(directory.path()); }

    TemporaryDirectory directory;
    std::unique_ptr<HostStore> store;
};

} // namespace

TEST("what leaves memory can be fetched from the disk") {
    Desk desk({.memory = 1});
    desk.put("abc");
    desk.put("def");
    CHECK_EQ(desk.show("abc"), "3 on disk");
    CHECK_EQ(desk.show("def"), "3");
    CHECK_EQ(desk.store->n_entries(), 2);
    CHECK_EQ(desk.store->n_evicted(), 1);
    CHECK(desk.store->state(desk.id_of("abc")).empty());
    CHECK_EQ(desk.use("abc"), "/abc");
    CHECK_EQ(desk.show("def"), "3 on disk"); // there was room for one
    CHECK_EQ(desk.store->bytes(), 1000);
    CHECK_EQ(desk.use("def"), "/def");
}

TEST("fetching twice reads once, and what was fetched for nothing does no harm") {
    Desk desk({.memory = 1});
    desk.put("abc");
    desk.put("def");
    const EntryId id = desk.id_of("abc");
    desk.store->fetch(id);
    desk.store->fetch(id);
    desk.store->drop(id);
    desk.store->fetch(id);
    CHECK(desk.holds(1));
    CHECK(desk.has_files(1));
    CHECK_EQ(desk.show("abc"), "-");
    CHECK_EQ(desk.use("def"), "/def");
}

TEST("a restart finds what was stored") {
    for (const bool can_trim : {true, false}) {
        Desk desk({.can_trim = can_trim});
        desk.put("abc");
        desk.put("def");
        desk.put("def", "salt");
        const std::size_t disk_bytes = desk.store->disk_bytes();
        desk.open({.can_trim = can_trim});
        CHECK(desk.holds(3));
        CHECK_EQ(desk.store->bytes(), 0);
        CHECK_EQ(desk.store->disk_bytes(), disk_bytes);
        CHECK_EQ(desk.show("defg"), "3 on disk");
        CHECK_EQ(desk.use("defg"), "/def");
        CHECK_EQ(desk.use("abcd"), "/abc");
        CHECK(!desk.match("abc", "salt"));
        desk.put("ghi"); // under an id that is free
        CHECK(desk.has_files(4));
    }
}

TEST("the files stay within their limit, the least valuable go first") {
    Desk desk({.memory = 5, .disk = 3});
    for (const char *text : {"aa", "bb", "cc"}) {
        desk.put(text);
    }
    CHECK_EQ(desk.use("aa"), "/aa");
    desk.put("dd");
    CHECK(desk.has_files(3));
    CHECK(desk.store->disk_bytes() <= 3 * kFileSize);
    CHECK_EQ(desk.store->n_entries(), 4); // "bb" is in memory still
    desk.open({.memory = 5, .disk = 2});
    CHECK(desk.holds(2));
    CHECK(desk.has_files(2));
    CHECK_EQ(desk.show("bb"), "-");
    CHECK_EQ(desk.show("aa"), "-"); // how often it was used is not known any more
    CHECK_EQ(desk.use("dd"), "/dd");
}

TEST("a state that is too large for the disk is kept in memory alone") {
    Desk desk({.memory = 1, .disk = 0});
    desk.put("abc");
    CHECK_EQ(desk.show("abc"), "3");
    CHECK_EQ(desk.store->disk_bytes(), 0);
    desk.put("def");
    CHECK_EQ(desk.show("abc"), "-");
    CHECK(desk.files().empty());
}

TEST("a file that is too large for the memory, or redundant, is removed") {
    Desk desk;
    desk.store->put(prefix_of("large"), state_of("large", 3000));
    desk.open({.memory = 2});
    CHECK_EQ(desk.files().size(), 1);
    CHECK(desk.has_files(0));
    CHECK_EQ(desk.store->n_entries(), 0);
    desk.put("abc");
    desk.open({});
    desk.put("abcd"); // before anybody has looked at the file
    CHECK(eventually([&] {
        desk.store->check_in();
        const auto files = desk.files();
        return files.size() == 1 && files[0].filename() != "0000000000000001.kv";
    }));
    CHECK_EQ(desk.store->n_entries(), 1);
    CHECK_EQ(desk.use("abc"), "/abcd");
}

TEST("a redundant state leaves the disk as well") {
    Desk desk;
    desk.put("abc");
    desk.put("abcd");
    CHECK(desk.has_files(1));
    desk.open({});
    CHECK(desk.holds(1));
    CHECK_EQ(desk.use("abc"), "/abcd");
}

TEST("a state that is stored again need not be fetched") {
    Desk desk({.memory = 1});
    desk.put("abc");
    desk.put("def");
    CHECK_EQ(desk.show("abc"), "3 on disk");
    desk.put("abc");
    CHECK_EQ(desk.show("abc"), "3");
    CHECK_EQ(desk.show("def"), "3 on disk");
    CHECK_EQ(desk.store->n_entries(), 2);
}

TEST("of states that share as much, one in memory is preferred") {
    Desk desk({.memory = 1});
    for (const char *text : {"sys/c", "sys/a", "sys/d", "sys/e"}) {
        desk.put(text);
    }
    CHECK_EQ(desk.show("sys/b"), "4"); // "sys/e", though "sys/a" and "sys/c" are next to it
    CHECK_EQ(desk.use("sys/b"), "/sys/e");
    CHECK_EQ(desk.show("sys/cc"), "5 on disk");
}

TEST("a damaged file costs its entry and nothing else") {
    Desk desk({.memory = 1});
    desk.put("abc");
    desk.put("def");
    CHECK(desk.has_files(2));
    std::string text = read_text(desk.files()[0]);
    ++text.back();
    write_text(desk.files()[0], text);
    CHECK_EQ(desk.use("abc"), "-");
    CHECK_EQ(desk.store->n_entries(), 1);
    CHECK_EQ(desk.use("def"), "/def");
    CHECK_EQ(desk.files().size(), 1);
}

TEST("a file under another's name does not give its state for the other's") {
    Desk desk({.memory = 1});
    desk.put("abc");
    desk.put("abd");
    CHECK(desk.has_files(2));
    std::filesystem::copy_file(desk.files()[1], desk.files()[0],
                               std::filesystem::copy_options::overwrite_existing);
    CHECK_EQ(desk.show("abc"), "3 on disk");
    CHECK_EQ(desk.use("abc"), "/abd"); // of which two tokens are of use
    CHECK_EQ(desk.show("abc"), "2");
    CHECK_EQ(desk.store->n_entries(), 1);
}

TEST("when writing fails, the store goes on in memory") {
    Desk desk({.memory = 2});
    std::filesystem::remove_all(desk.directory.path());
    desk.put("abc");
    CHECK(eventually([&] {
        desk.store->check_in();
        return desk.store->disk_bytes() == 0;
    }));
    desk.store->check_integrity();
    CHECK_EQ(desk.use("abc"), "/abc");
    desk.put("def");
    desk.put("ghi");
    CHECK_EQ(desk.show("def"), "-"); // "abc" was used
    CHECK_EQ(desk.store->disk_bytes(), 0);
}
