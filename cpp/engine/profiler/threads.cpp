#include "profiler/threads.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace llamad {

std::vector<int> thread_ids() {
    std::vector<int> ids;
    std::error_code failed; // a thread that ends meanwhile is no error
    for (auto entry = std::filesystem::directory_iterator("/proc/self/task", failed);
         !failed && entry != std::filesystem::directory_iterator(); entry.increment(failed)) {
        const std::string name = entry->path().filename().string();
        int id = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), id).ec == std::errc()) {
            ids.push_back(id);
        }
    }
    return ids;
}

std::string thread_name(int thread_id) {
    std::ifstream file("/proc/self/task/" + std::to_string(thread_id) + "/comm");
    std::string name;
    std::getline(file, name);
    return name;
}

} // namespace llamad
