#include "core/state_directory.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>

#include "core/disk_format.h"

namespace llamad {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".kv";
constexpr std::string_view kTemporarySuffix = ".kv.part";
constexpr std::string_view kLockName = "lock";
constexpr EntryId kLargestId = EntryId{1} << 62; // no counter gets there

std::string hex(std::uint64_t value) {
    std::array<char, 17> text{};
    std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(value));
    return text.data();
}

std::string file_name(EntryId id) { return hex(id).append(kSuffix); }

// 0: not the name of a state.
EntryId id_of(const std::string &name) {
    EntryId id = 0;
    std::from_chars(name.data(), name.data() + name.size(), id, 16);
    return id < kLargestId && name == file_name(id) ? id : 0;
}

// Nothing where another process holds it; else held until the descriptor is closed, by us or by the end of
// the process.
FileDescriptor lock(const fs::path &directory) {
    FileDescriptor file(open((directory / kLockName).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!file) {
        throw std::system_error(errno, std::generic_category(), directory.string());
    }
    return flock(file.get(), LOCK_EX | LOCK_NB) == 0 ? std::move(file) : FileDescriptor();
}

} // namespace

StateDirectory::StateDirectory(const fs::path &shared, const std::string &identity)
    : path_(shared / hex(hash64(std::as_bytes(std::span(identity))))) {
    if (fs::create_directories(shared)) {
        fs::permissions(shared, fs::perms::owner_all);
    }
    fs::create_directory(path_);
    fs::permissions(path_, fs::perms::owner_all);
    lock_ = lock(path_);
}

fs::path StateDirectory::path_of(EntryId id) const { return path_ / file_name(id); }

fs::path StateDirectory::temporary_path_of(EntryId id) const {
    return path_ / hex(id).append(kTemporarySuffix);
}

std::vector<EntryId> StateDirectory::tidy() const {
    std::vector<EntryId> found;
    for (const fs::directory_entry &file : fs::directory_iterator(path_)) {
        const std::string name = file.path().filename().string();
        const EntryId id = id_of(name);
        if (id > 0) {
            found.push_back(id);
        } else if (name.ends_with(kSuffix) || name.ends_with(kTemporarySuffix)) {
            std::error_code ignored;
            fs::remove(file.path(), ignored);
        }
    }
    std::ranges::sort(found, std::greater<>());
    return found;
}

void StateDirectory::remove(EntryId id) const {
    std::error_code ignored;
    fs::remove(path_of(id), ignored);
}

} // namespace llamad
