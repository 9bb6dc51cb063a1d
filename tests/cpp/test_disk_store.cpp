#include <atomic>
#include <map>

#include <sys/stat.h>

#include "store_rig.h"

#include "core/disk_format.h"
#include "core/disk_store.h"

using namespace llamad;

namespace {

using Kind = DiskEvent::Kind;

// A directory, and stores that come and go in it.
struct Desk {
    std::unique_ptr<DiskStore> open(std::string identity = "model", std::size_t max_queued_bytes = 1 << 20) {
        return std::make_unique<DiskStore>(DiskStore::Options{
            .directory = directory.path() / "cache",
            .identity = std::move(identity),
            .max_bytes = 1 << 20,
            .max_queued_bytes = max_queued_bytes,
            .on_ready =
                [this] {
                    CHECK(gate.enter(never));
                    ++n_ready;
                },
            .on_warning =
                [this](const std::string &line) {
                    const std::lock_guard lock(mutex);
                    warnings.push_back(line);
                },
        });
    }
    // Stops the disk's thread until gate.open().
    void stop_the_disk(DiskStore &store) {
        gate.hold();
        store.read(12345);
        REQUIRE(gate.reached());
        CHECK_EQ(take(store, 1), "gone 12345 ");
    }
    // Waits for `n` events; "kind id" of each, in order of their ids.
    std::string take(DiskStore &store, std::size_t n) {
        std::map<EntryId, std::string> seen;
        CHECK(eventually([&] {
            for (DiskEvent &event : store.take()) {
                seen[event.id] = event.kind == Kind::kFound    ? "found"
                                 : event.kind == Kind::kLoaded ? "loaded"
                                                               : "gone";
                last = std::move(event);
            }
            return seen.size() >= n;
        }));
        std::string text;
        for (const auto &[id, kind] : seen) {
            text += kind + " " + std::to_string(id) + " ";
        }
        return text;
    }
    std::size_t n_warnings() {
        const std::lock_guard lock(mutex);
        return warnings.size();
    }
    // Writes a state per text, with ids from 1 on, and closes the store.
    void fill(std::initializer_list<std::string_view> texts, std::string identity = "model") {
        const auto store = open(std::move(identity));
        EntryId id = store->next_id();
        for (const std::string_view text : texts) {
            CHECK(write(*store, id++, text));
        }
    }
    static bool write(DiskStore &store, EntryId id, std::string_view text) {
        return store.write(id, prefix_of(text), std::make_shared<const KvState>(state_of(text)));
    }
    std::vector<std::filesystem::path> files() const { return files_in(directory.path()); }

    TemporaryDirectory directory;
    Gate gate;
    const std::atomic<bool> never = false;
    std::atomic<int> n_ready = 0;
    std::mutex mutex;
    std::vector<std::string> warnings;
    DiskEvent last;
};

} // namespace

TEST("a restart finds what was stored") {
    Desk desk;
    desk.fill({"abc", "xyz"});
    const auto store = desk.open();
    CHECK_EQ(store->next_id(), 3);
    CHECK_EQ(desk.take(*store, 2), "found 1 found 2 ");
    CHECK(desk.last.prefix == prefix_of("abc")); // the newest come first
    CHECK_EQ(desk.last.state_size, 100);
    CHECK_EQ(desk.last.file_size, store->file_size(prefix_of("abc"), 100));
    CHECK_EQ(desk.last.file_size, std::filesystem::file_size(desk.files().front()));
    store->read(2);
    CHECK_EQ(desk.take(*store, 1), "loaded 2 ");
    CHECK(desk.last.prefix == prefix_of("xyz"));
    CHECK_EQ(label_of(desk.last.state->bytes()), "/xyz");
    CHECK_EQ(desk.last.state->size, 100);
    CHECK(desk.n_ready > 0);
    CHECK_EQ(desk.n_warnings(), 0);
}

TEST("closing writes what is queued") {
    Desk desk;
    {
        const auto store = desk.open();
        desk.stop_the_disk(*store);
        for (EntryId id = 1; id <= 20; ++id) {
            CHECK(desk.write(*store, id, std::string(id, 'x')));
        }
        CHECK(desk.files().empty());
        desk.gate.open();
    }
    CHECK_EQ(desk.files().size(), 20);
}

TEST("files and directories are for this user alone") {
    Desk desk;
    desk.fill({"abc"});
    const auto mode = [](const std::filesystem::path &path) {
        struct stat status{};
        REQUIRE(stat(path.c_str(), &status) == 0);
        return status.st_mode & 0777;
    };
    CHECK_EQ(mode(desk.directory.path() / "cache"), 0700);
    CHECK_EQ(mode(desk.files().at(0).parent_path()), 0700);
    CHECK_EQ(mode(desk.files().at(0)), 0600);
}

TEST("a damaged head is noticed at the start, a damaged state when it is read, and the files removed") {
    Desk desk;
    desk.fill({"abc", "def", "ghi"});
    const auto files = desk.files();
    REQUIRE(files.size() == 3);
    std::string text = read_text(files[0]);
    ++text[40];
    write_text(files[0], text);
    text = read_text(files[1]);
    ++text.back();
    write_text(files[1], text);
    const auto store = desk.open();
    CHECK_EQ(desk.take(*store, 2), "found 2 found 3 ");
    CHECK(eventually([&] { return desk.n_warnings() == 1; }));
    store->read(2);
    CHECK_EQ(desk.take(*store, 1), "gone 2 ");
    CHECK_EQ(desk.n_warnings(), 2);
    CHECK(desk.files() == std::vector{files[2]});
}

TEST("files that do not belong here are removed, with one warning for all") {
    Desk desk;
    desk.fill({"abc", "def"});
    desk.fill({"ghi", "jkl"}, "another");
    const auto files = desk.files();
    REQUIRE(files.size() == 4);
    const bool ours_first = read_text(files[0]).find("another") == std::string::npos;
    const auto &ours = files[ours_first ? 0 : 2];
    const auto &others = files[ours_first ? 2 : 0];
    const auto here = ours.parent_path();
    std::filesystem::copy(others, here / "0000000000000007.kv"); // of another identity
    std::filesystem::copy(ours, here / "0000000000000008.kv.part");
    std::filesystem::copy(ours, here / "what.kv");
    std::filesystem::copy(ours, here / "ffffffffffffffff.kv"); // no id of ours
    std::filesystem::copy(ours, here / "notes.txt");
    write_text(here / "0000000000000009.kv", "");
    write_text(others.parent_path() / "0000000000000009.kv", "not ours to remove");
    {
        const auto store = desk.open();
        CHECK_EQ(desk.take(*store, 2), "found 1 found 2 ");
        CHECK(eventually([&] { return desk.files().size() == 6; }));
    }
    CHECK_EQ(desk.n_warnings(), 1);
    CHECK(std::filesystem::exists(here / "notes.txt"));
    CHECK_EQ(files_in(others.parent_path()).size(), 3);
}

TEST("an erased state is gone, on disk or in the queue") {
    Desk desk;
    desk.fill({"abc", "def"});
    {
        const auto store = desk.open();
        CHECK_EQ(desk.take(*store, 2), "found 1 found 2 ");
        desk.stop_the_disk(*store);
        store->erase(1);
        CHECK(desk.write(*store, 3, "ghi"));
        CHECK(desk.write(*store, 4, "jkl"));
        store->erase(3);
        store->read(1);
        desk.gate.open();
        CHECK_EQ(desk.take(*store, 1), "gone 1 ");
    }
    CHECK_EQ(desk.files().size(), 2);
    const auto store = desk.open();
    CHECK_EQ(desk.take(*store, 2), "found 2 found 4 ");
}

TEST("a state that waits to be written can be read") {
    Desk desk;
    const auto store = desk.open();
    desk.stop_the_disk(*store);
    CHECK(desk.write(*store, 1, "abc"));
    desk.gate.open();
    store->read(1); // queued, on its way or written
    CHECK_EQ(desk.take(*store, 1), "loaded 1 ");
    CHECK_EQ(label_of(desk.last.state->bytes()), "/abc");
    CHECK(desk.last.prefix == prefix_of("abc"));
}

TEST("the queue is bounded") {
    Desk desk;
    const auto store = desk.open("model", 250); // states have 100 bytes
    desk.stop_the_disk(*store);
    CHECK(desk.write(*store, 1, "abc"));
    CHECK(desk.write(*store, 2, "def"));
    CHECK(!desk.write(*store, 3, "ghi"));
    store->erase(2);
    CHECK(desk.write(*store, 4, "jkl"));
    desk.gate.open();
    CHECK(eventually([&] { return desk.files().size() == 2; }));
    CHECK(eventually([&] { return desk.write(*store, 5, "mno"); }));
}

TEST("a missing file is reported") {
    Desk desk;
    desk.fill({"abc"});
    const auto store = desk.open();
    CHECK_EQ(desk.take(*store, 1), "found 1 ");
    std::filesystem::remove(desk.files().at(0));
    store->read(1);
    CHECK_EQ(desk.take(*store, 1), "gone 1 ");
}

TEST("after an error nothing more is written, with one warning; reading goes on") {
    Desk desk;
    desk.fill({"abc"});
    const auto store = desk.open();
    CHECK_EQ(desk.take(*store, 1), "found 1 ");
    // In the way of the temporary file, as what cannot be written would be.
    std::filesystem::create_directory(desk.files().at(0).parent_path() / "0000000000000002.kv.part");
    std::filesystem::create_directory(desk.files().at(0).parent_path() / "0000000000000002.kv.part" / "x");
    desk.stop_the_disk(*store);
    const std::size_t n_warnings = desk.n_warnings();
    CHECK(desk.write(*store, 2, "def"));
    CHECK(desk.write(*store, 3, "ghi"));
    desk.gate.open();
    CHECK_EQ(desk.take(*store, 2), "gone 2 gone 3 ");
    CHECK(!desk.write(*store, 4, "jkl"));
    CHECK_EQ(desk.n_warnings(), n_warnings + 1);
    store->read(1);
    CHECK_EQ(desk.take(*store, 1), "loaded 1 ");
    CHECK_EQ(desk.files().size(), 1);
}

TEST("a directory that cannot be made is an error at once") {
    const TemporaryDirectory directory;
    write_text(directory.path() / "file", "");
    CHECK_THROWS(std::system_error,
                 DiskStore({.directory = directory.path() / "file" / "cache", .identity = "model"}));
    CHECK_THROWS(std::system_error, DiskStore({.directory = directory.path() / "file", .identity = "model"}));
}

TEST("two stores of one identity do not get in each other's way") {
    Desk desk;
    desk.fill({"abc"});
    const auto first = desk.open();
    CHECK_EQ(desk.take(*first, 1), "found 1 ");
    {
        const auto second = desk.open();
        CHECK_EQ(desk.n_warnings(), 1);
        CHECK(!desk.write(*second, 2, "def"));
        CHECK(second->take().empty());
    }
    CHECK(desk.write(*first, 2, "def"));
    const auto other = desk.open("another");
    CHECK(desk.write(*other, 1, "ghi"));
    CHECK_EQ(desk.n_warnings(), 1);
}

TEST("closing in the midst of reading, writing and looking around") {
    Desk desk;
    for (int round = 0; round < 20; ++round) {
        const auto store = desk.open();
        for (EntryId id = store->next_id(), end = id + 10; id < end; ++id) {
            CHECK(desk.write(*store, id, std::to_string(id)));
            store->read(id - 1);
            if (id % 2 == 0) {
                store->erase(id);
            }
        }
    }
    CHECK_EQ(desk.files().size(), 100);
}
