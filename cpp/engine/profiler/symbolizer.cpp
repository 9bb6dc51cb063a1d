#include "profiler/symbolizer.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <cxxabi.h>

namespace llamad {

namespace {

std::string demangled(const std::string &name) {
    int failed = 0;
    const std::unique_ptr<char, decltype(&std::free)> text(
        abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &failed), &std::free);
    return failed == 0 ? std::string(text.get()) : name;
}

std::string stand_in(const std::string &path) {
    const std::string file = path.substr(path.rfind('/') + 1);
    return file.starts_with('[') ? file : "[" + (file.empty() ? "anonymous" : file) + "]";
}

} // namespace

Symbolizer::Symbolizer() {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::istringstream fields(line);
        Mapping mapping;
        char dash = 0;
        std::string permissions;
        std::string device;
        std::string inode;
        fields >> std::hex >> mapping.start >> dash >> mapping.limit >> permissions >> mapping.file_offset >>
            device >> inode >> std::ws;
        std::getline(fields, mapping.path);
        if (permissions.find('x') != std::string::npos) {
            mappings_.push_back(std::move(mapping));
        }
    }
}

const ElfSymbols &Symbolizer::symbols_of(const Mapping &mapping) {
    return files_.try_emplace(mapping.path, mapping.path).first->second;
}

Symbol Symbolizer::find(std::uintptr_t address) {
    const auto after = std::ranges::upper_bound(mappings_, address, {}, &Mapping::start);
    if (after == mappings_.begin() || address >= std::prev(after)->limit) {
        return {.name = "[unknown]", .mangled = "", .mapping = nullptr};
    }
    const Mapping &mapping = *std::prev(after);
    const std::string mangled(symbols_of(mapping).at(address - mapping.start + mapping.file_offset));
    if (mangled.empty()) {
        return {.name = stand_in(mapping.path), .mangled = "", .mapping = &mapping};
    }
    return {.name = demangled(mangled), .mangled = mangled, .mapping = &mapping};
}

} // namespace llamad
