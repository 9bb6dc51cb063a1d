// A GGUF file's header in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "gguf.h"

namespace llamad {

struct GgufDeleter {
    void operator()(gguf_context *context) const { gguf_free(context); }
};
using GgufPtr = std::unique_ptr<gguf_context, GgufDeleter>;

// Reads one file's header, no tensor data. Throws ModelNotFoundError, InvalidModelError, or
// TruncatedModelError where not even the first four bytes are there.
GgufPtr open_gguf(const std::string &path);

} // namespace llamad
