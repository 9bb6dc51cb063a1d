// How deeply JSON nests, told before somebody's recursion finds out.
#pragma once

#include <cstddef>
#include <string_view>

namespace llamad {

// Upper bound of how deeply brackets nest in JSON, wherever in `text` it begins.
std::size_t deepest_nesting(std::string_view text);

} // namespace llamad
