// Memory that runs out: include it in one file of a test program.
#pragma once

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

// Bytes from which on there is no memory.
inline std::atomic<std::size_t> too_much{std::numeric_limits<std::size_t>::max()};

// Not inlined: the compiler would take free() for a mismatch.
[[gnu::noinline]] void *operator new(std::size_t size) {
    void *memory = size < too_much.load() ? std::malloc(size) : nullptr;
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}

[[gnu::noinline]] void operator delete(void *memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void *memory, std::size_t /*size*/) noexcept { std::free(memory); }
