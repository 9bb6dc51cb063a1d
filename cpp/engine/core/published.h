// A value that one thread writes and others read whole, without waiting for each other.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace llamad {

// There are two copies. The writer fills the one that is not being shown and then shows it, so a reader need
// not wait for a writer that was stopped in the middle; he reads again only where the value has meanwhile
// been replaced, twice.
//
// Threading: store() belongs to one thread; load() to anyone.
template <typename T> class Published {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    void store(const T &value) {
        const std::uint64_t version = version_.load(std::memory_order_relaxed) + 1;
        Words words{};
        std::memcpy(words.data(), &value, sizeof(T));
        Copy &copy = copies_[version % 2];
        for (std::size_t i = 0; i < kWords; ++i) {
            // Release: who reads one of these words cannot but see the version before this one as well.
            copy[i].store(words[i], std::memory_order_release);
        }
        version_.store(version, std::memory_order_release);
    }

    T load() const {
        while (true) {
            const std::uint64_t version = version_.load(std::memory_order_acquire);
            const Copy &copy = copies_[version % 2];
            Words words{};
            for (std::size_t i = 0; i < kWords; ++i) {
                words[i] = copy[i].load(std::memory_order_acquire);
            }
            if (version_.load(std::memory_order_relaxed) == version) {
                T value;
                std::memcpy(static_cast<void *>(&value), words.data(), sizeof(T));
                return value;
            }
        }
    }

  private:
    static constexpr std::size_t kWords = (sizeof(T) + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t);
    using Words = std::array<std::uint64_t, kWords>;
    using Copy = std::array<std::atomic<std::uint64_t>, kWords>;

    std::array<Copy, 2> copies_{};
    std::atomic<std::uint64_t> version_{0};
};

} // namespace llamad
