#include "core/disk_format.h"

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file_descriptor.h"

namespace llamad {

namespace {

constexpr std::uint64_t kMagic = 0x31564B44414D4C4C; // "LLMADKV1", read as a little-endian number
constexpr std::uint32_t kVersion = 1;

struct FileHeader {
    std::uint64_t magic = kMagic;
    std::uint32_t version = kVersion;
    std::uint32_t identity_size = 0; // bytes
    std::uint32_t salt_size = 0;     // bytes
    std::uint32_t n_tokens = 0;
    std::uint64_t state_size = 0; // bytes
    std::uint64_t state_hash = 0;
    std::uint64_t head_hash = 0; // of all before the state, this field being 0
};
static_assert(std::has_unique_object_representations_v<FileHeader>, "padding would be written unset");

class File {
  public:
    File(const std::filesystem::path &path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {
        check(static_cast<bool>(fd_), "open");
    }

    std::uint64_t size() const {
        struct stat status{};
        check(fstat(fd_.get(), &status) == 0, "fstat");
        if (!S_ISREG(status.st_mode)) {
            throw std::runtime_error("not a regular file");
        }
        return static_cast<std::uint64_t>(status.st_size);
    }

    void read(std::span<std::byte> into) {
        while (!into.empty()) {
            const ssize_t n = ::read(fd_.get(), into.data(), into.size());
            check(n >= 0 || errno == EINTR, "read");
            if (n == 0) {
                throw std::runtime_error("ends early");
            }
            into = into.subspan(n > 0 ? static_cast<std::size_t>(n) : 0);
        }
    }

    void write(std::span<const std::byte> from) {
        while (!from.empty()) {
            const ssize_t n = ::write(fd_.get(), from.data(), from.size());
            check(n >= 0 || errno == EINTR, "write");
            from = from.subspan(n > 0 ? static_cast<std::size_t>(n) : 0);
        }
    }

    void sync() { check(fsync(fd_.get()) == 0, "fsync"); }

  private:
    static void check(bool ok, const char *call) {
        if (!ok) {
            throw std::system_error(errno, std::generic_category(), call);
        }
    }

    FileDescriptor fd_;
};

std::span<const std::byte> bytes_of(const FileHeader &header) { return std::as_bytes(std::span(&header, 1)); }

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::span<const std::byte> bytes_of(const std::vector<TokenId> &tokens) {
    return std::as_bytes(std::span(tokens));
}

std::uint64_t hash_head(FileHeader header, std::string_view identity, const StoredPrefix &prefix) {
    header.head_hash = 0;
    std::uint64_t hash = hash64(bytes_of(header));
    hash = hash64(bytes_of(identity), hash);
    hash = hash64(bytes_of(prefix.salt), hash);
    return hash64(bytes_of(prefix.tokens), hash);
}

std::uint64_t finish(std::uint64_t hash) { // the finalizer of MurmurHash3
    hash = (hash ^ (hash >> 33)) * 0xFF51AFD7ED558CCD;
    hash = (hash ^ (hash >> 33)) * 0xC4CEB9FE1A85EC53;
    return hash ^ (hash >> 33);
}

struct Head {
    FileHeader header;
    StoredPrefix prefix;
};

Head read_head(File &file, std::string_view identity) {
    Head head;
    FileHeader &header = head.header;
    const std::uint64_t file_size = file.size();
    file.read(std::as_writable_bytes(std::span(&header, 1)));
    if (header.magic != kMagic || header.version != kVersion || header.identity_size != identity.size()) {
        throw std::runtime_error("of another version or model");
    }
    // The sizes come from the file: nothing is allocated before they add up.
    const std::uint64_t size_without_state = sizeof(FileHeader) + header.identity_size + header.salt_size +
                                             std::uint64_t{header.n_tokens} * sizeof(TokenId);
    if (header.n_tokens == 0 || header.state_size == 0 || file_size < size_without_state ||
        file_size - size_without_state != header.state_size) {
        throw std::runtime_error("of the wrong length");
    }
    std::string found_identity(header.identity_size, '\0');
    head.prefix.salt.resize(header.salt_size);
    head.prefix.tokens.resize(header.n_tokens);
    file.read(std::as_writable_bytes(std::span(found_identity)));
    file.read(std::as_writable_bytes(std::span(head.prefix.salt)));
    file.read(std::as_writable_bytes(std::span(head.prefix.tokens)));
    if (found_identity != identity) {
        throw std::runtime_error("of another version or model");
    }
    if (hash_head(header, identity, head.prefix) != header.head_hash) {
        throw std::runtime_error("its checksum does not fit");
    }
    return head;
}

} // namespace

std::uint64_t hash64(std::span<const std::byte> data, std::uint64_t seed) {
    // Four independent lanes keep the multiplier busy. Each step maps lane and word one to one, so that no
    // change of a single word can be lost.
    constexpr std::uint64_t kMultiplier = 0x9E3779B97F4A7C15; // 2^64 / golden ratio, which is odd
    std::array<std::uint64_t, 4> lanes{seed, seed + 1, seed + 2, seed + 3};
    const auto mix = [&](std::size_t lane, const std::byte *from, std::size_t n) {
        std::uint64_t word = 0;
        std::memcpy(&word, from, n);
        lanes[lane] = std::rotl((lanes[lane] ^ word) * kMultiplier, 29);
    };
    std::span<const std::byte> rest = data;
    for (; rest.size() >= 32; rest = rest.subspan(32)) {
        for (std::size_t lane = 0; lane < 4; ++lane) {
            mix(lane, rest.data() + 8 * lane, 8);
        }
    }
    for (std::size_t lane = 0; !rest.empty(); ++lane) {
        const std::size_t n = rest.size() < 8 ? rest.size() : 8;
        mix(lane, rest.data(), n);
        rest = rest.subspan(n);
    }
    std::uint64_t hash = finish(seed ^ data.size());
    for (const std::uint64_t lane : lanes) {
        hash = finish(hash ^ lane);
    }
    return hash;
}

std::size_t state_file_size(std::string_view identity, const StoredPrefix &prefix, std::size_t state_size) {
    return sizeof(FileHeader) + identity.size() + prefix.salt.size() +
           prefix.tokens.size() * sizeof(TokenId) + state_size;
}

StateFile read_head(const std::filesystem::path &path, std::string_view identity) {
    File file(path, O_RDONLY | O_NOFOLLOW);
    Head head = read_head(file, identity);
    const auto state_size = static_cast<std::size_t>(head.header.state_size);
    const std::size_t file_size = state_file_size(identity, head.prefix, state_size);
    return {.prefix = std::move(head.prefix), .state_size = state_size, .file_size = file_size};
}

LoadedState read_state(const std::filesystem::path &path, std::string_view identity) {
    File file(path, O_RDONLY | O_NOFOLLOW);
    Head head = read_head(file, identity);
    const auto size = static_cast<std::size_t>(head.header.state_size);
    auto state = std::make_shared<const KvState>(
        KvState{.data = std::make_unique_for_overwrite<std::byte[]>(size), .size = size});
    file.read({state->data.get(), size});
    if (hash64(state->bytes()) != head.header.state_hash) {
        throw std::runtime_error("its checksum does not fit");
    }
    return {.prefix = std::move(head.prefix), .state = std::move(state)};
}

void write_state(const std::filesystem::path &path, const std::filesystem::path &temporary,
                 std::string_view identity, const StoredPrefix &prefix, const KvState &state) {
    FileHeader header;
    header.identity_size = static_cast<std::uint32_t>(identity.size());
    header.salt_size = static_cast<std::uint32_t>(prefix.salt.size());
    header.n_tokens = static_cast<std::uint32_t>(prefix.tokens.size());
    header.state_size = state.size;
    header.state_hash = hash64(state.bytes());
    header.head_hash = hash_head(header, identity, prefix);
    {
        File file(temporary, O_WRONLY | O_CREAT | O_EXCL);
        file.write(bytes_of(header));
        file.write(bytes_of(identity));
        file.write(bytes_of(prefix.salt));
        file.write(bytes_of(prefix.tokens));
        file.write(state.bytes());
        // Before the rename: else a crash of the machine could leave the name and not the bytes.
        file.sync();
    }
    if (std::rename(temporary.c_str(), path.c_str()) != 0) {
        throw std::system_error(errno, std::generic_category(), "rename");
    }
}

} // namespace llamad
