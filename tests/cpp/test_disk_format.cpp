#include <sys/stat.h>

#include "store_rig.h"

#include "core/disk_format.h"

using namespace llamad;

namespace {

constexpr std::string_view kIdentity = "a model and its parameters";

// A file, rewritten as a test likes it.
struct Desk {
    Desk() { write_state(path, directory.path() / "part", kIdentity, prefix, state_of("abc", 50, "salt")); }

    // "head", "state": refused when that is read. "": not at all.
    std::string_view refused_at(std::string_view content) const {
        write_text(path, content);
        try {
            const StateFile file = read_head(path, kIdentity);
            CHECK_EQ(file.file_size, content.size());
        } catch (const std::runtime_error &) {
            CHECK_THROWS(std::runtime_error, read_state(path, kIdentity));
            return "head";
        }
        try {
            CHECK(read_state(path, kIdentity).state != nullptr);
        } catch (const std::runtime_error &) {
            return "state";
        }
        return "";
    }

    TemporaryDirectory directory;
    std::filesystem::path path = directory.path() / "file";
    StoredPrefix prefix = prefix_of("abc", "salt");
};

} // namespace

TEST("what was written is read") {
    const Desk desk;
    const StateFile file = read_head(desk.path, kIdentity);
    CHECK(file.prefix == desk.prefix);
    CHECK_EQ(file.state_size, 50);
    CHECK_EQ(file.file_size, std::filesystem::file_size(desk.path));
    CHECK_EQ(file.file_size, state_file_size(kIdentity, desk.prefix, 50));
    const LoadedState loaded = read_state(desk.path, kIdentity);
    CHECK(loaded.prefix == desk.prefix);
    CHECK_EQ(loaded.state->size, 50);
    CHECK_EQ(label_of(loaded.state->bytes()), "salt/abc");
}

TEST("only this user may read it, and the temporary file is gone") {
    const Desk desk;
    struct stat status{};
    REQUIRE(stat(desk.path.c_str(), &status) == 0);
    CHECK_EQ(status.st_mode & 0777, 0600);
    CHECK_EQ(files_in(desk.directory.path()).size(), 1);
}

TEST("no byte can change unnoticed") {
    const Desk desk;
    const std::string whole = read_text(desk.path);
    const std::size_t head_size = whole.size() - 50;
    REQUIRE(desk.refused_at(whole).empty());
    for (std::size_t i = 0; i < whole.size(); ++i) {
        for (const int bit : {1, 128}) {
            std::string damaged = whole;
            damaged[i] = static_cast<char>(damaged[i] ^ bit);
            CHECK_EQ(desk.refused_at(damaged), i < head_size ? "head" : "state");
        }
    }
}

TEST("a file that is too short or too long is refused by its head") {
    const Desk desk;
    const std::string whole = read_text(desk.path);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CHECK_EQ(desk.refused_at(whole.substr(0, size)), "head");
    }
    CHECK_EQ(desk.refused_at(whole + "x"), "head");
}

TEST("a file of another identity is refused, also one of the same length") {
    const Desk desk;
    std::string other(kIdentity);
    CHECK_THROWS(std::runtime_error, read_head(desk.path, other + "!"));
    other[0] = 'A';
    CHECK_THROWS(std::runtime_error, read_head(desk.path, other));
    CHECK_THROWS(std::runtime_error, read_state(desk.path, other));
}

TEST("what is no regular file is refused") {
    const Desk desk;
    const std::filesystem::path link = desk.directory.path() / "link";
    std::filesystem::create_symlink(desk.path, link);
    CHECK_THROWS(std::system_error, read_head(link, kIdentity));
    CHECK_THROWS(std::runtime_error, read_head(desk.directory.path(), kIdentity));
    CHECK_THROWS(std::system_error, read_head(desk.directory.path() / "missing", kIdentity));
}

TEST("a hash depends on length, place and seed") {
    const auto hash = [](std::string_view text, std::uint64_t seed = 0) {
        return hash64(std::as_bytes(std::span(text)), seed);
    };
    const std::string zeros(100, '\0');
    std::vector<std::uint64_t> seen;
    for (std::size_t size = 0; size <= zeros.size(); ++size) {
        seen.push_back(hash(std::string_view(zeros).substr(0, size)));
    }
    for (std::size_t i = 0; i < zeros.size(); ++i) {
        std::string text = zeros;
        text[i] = 1;
        seen.push_back(hash(text));
    }
    seen.push_back(hash("", 1));
    std::sort(seen.begin(), seen.end());
    CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
}
