#include "chat/nesting.h"

#include <algorithm>
#include <array>

namespace llamad {

// Whether a place is in a string depends on where the JSON begins, so both cases are counted.
std::size_t deepest_nesting(std::string_view text) {
    std::array<std::size_t, 2> depth{}; // where an even number of quotes came before, and an odd
    std::size_t deepest = 0;
    std::size_t odd = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '\\') {
            ++i;
        } else if (c == '"') {
            odd ^= 1U;
        } else if (c == '[' || c == '{') {
            deepest = std::max(deepest, ++depth[odd]);
        } else if ((c == ']' || c == '}') && depth[odd] > 0) {
            --depth[odd];
        }
    }
    return deepest;
}

} // namespace llamad
