// States whose bytes say what they are the state of, and a directory to keep them in.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ios>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "check.h"
#include "gate.h"
#include "tokens.h"

#include "core/kv_state.h"
#include "core/stored_prefix.h"

namespace llamad {

inline StoredPrefix prefix_of(std::string_view text, std::string_view salt = "") {
    return {.tokens = tokens_of(text), .salt = std::string(salt)};
}

// "salt/text" and then filler.
inline KvState state_of(std::string_view text, std::size_t size = 100, std::string_view salt = "") {
    const std::string label = std::string(salt) + "/" + std::string(text) + '\0';
    REQUIRE(label.size() <= size);
    KvState state{.data = std::make_unique<std::byte[]>(size), .size = size};
    std::memcpy(state.data.get(), label.data(), label.size());
    return state;
}

inline std::string label_of(std::span<const std::byte> state) {
    std::string label;
    for (std::size_t i = 0; i < state.size() && state[i] != std::byte{0}; ++i) {
        label += static_cast<char>(state[i]);
    }
    return label;
}

// Waits until `done()` is true; the disk's thread says so sooner or later.
template <typename Condition> bool eventually(Condition done) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!done()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

inline std::string read_text(const std::filesystem::path &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_text(const std::filesystem::path &path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
}

// Regular files below a directory, in order, but for the lock.
inline std::vector<std::filesystem::path> files_in(const std::filesystem::path &directory) {
    std::vector<std::filesystem::path> files;
    for (const auto &file : std::filesystem::recursive_directory_iterator(directory)) {
        if (file.is_regular_file() && file.path().filename() != "lock") {
            files.push_back(file.path());
        }
    }
    std::sort(files.begin(), files.end());
    return files;
}

class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        std::string path = (std::filesystem::temp_directory_path() / "llamad-test-XXXXXX").string();
        REQUIRE(mkdtemp(path.data()) != nullptr);
        path_ = path;
    }
    TemporaryDirectory(const TemporaryDirectory &) = delete;
    TemporaryDirectory &operator=(const TemporaryDirectory &) = delete;
    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }

    const std::filesystem::path &path() const { return path_; }

  private:
    std::filesystem::path path_;
};

} // namespace llamad
