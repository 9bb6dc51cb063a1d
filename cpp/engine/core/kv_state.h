// The bytes of one slot's KV stream, taken out of the model's memory.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace llamad {

// As ModelRunner::save() made it; only the same model with the same context parameters understands it.
// Tens of megabytes, so it moves and is never copied. Not a vector: nobody needs it zeroed first.
struct KvState {
    std::unique_ptr<std::byte[]> data;
    std::size_t size = 0; // bytes; 0: there is no state

    std::span<const std::byte> bytes() const { return {data.get(), size}; }
};

} // namespace llamad
