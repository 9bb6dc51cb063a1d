// The threads of this process.
#pragma once

#include <string>
#include <vector>

namespace llamad {

// Ids of those that run now.
std::vector<int> thread_ids();

// As the system knows it; empty if there is no such thread (any more).
std::string thread_name(int thread_id);

} // namespace llamad
