// How a stored KV state lies in a file:
//
//   FileHeader | identity | salt | tokens | state
//
// in the byte order of the machine that wrote it; the magic number reads differently on another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "core/kv_state.h"
#include "core/stored_prefix.h"

namespace llamad {

// Every change of a word of `data` changes it; not meant to withstand anybody who tries.
std::uint64_t hash64(std::span<const std::byte> data, std::uint64_t seed = 0);

struct StateFile {
    StoredPrefix prefix;
    std::size_t state_size = 0; // bytes
    std::size_t file_size = 0;  // bytes
};

std::size_t state_file_size(std::string_view identity, const StoredPrefix &prefix, std::size_t state_size);

// Reads all but the state, and checks it and the length of the file.
// Throws std::system_error where the file cannot be read, and std::runtime_error where it is not a whole
// file of this version and identity.
StateFile read_head(const std::filesystem::path &path, std::string_view identity);

struct LoadedState {
    StoredPrefix prefix;
    std::shared_ptr<const KvState> state;
};

// Reads and checks everything. Throws as read_head() does.
LoadedState read_state(const std::filesystem::path &path, std::string_view identity);

// Readable by this user alone. The file appears under its name when it is whole: it is written to
// `temporary` first, which is left to the caller where something goes wrong.
// Throws std::system_error.
void write_state(const std::filesystem::path &path, const std::filesystem::path &temporary,
                 std::string_view identity, const StoredPrefix &prefix, const KvState &state);

} // namespace llamad
