// Names for addresses in this process's code.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "profiler/elf_symbols.h"

namespace llamad {

// Code of one file, mapped at [start, limit).
struct Mapping {
    std::uintptr_t start = 0;
    std::uintptr_t limit = 0;
    std::uint64_t file_offset = 0;
    std::string path; // "[vdso]", or empty, where it is no file
};

struct Symbol {
    std::string name; // "llamad::Engine::step()"; where none is known, that of the file in brackets
    std::string mangled;
    const Mapping *mapping = nullptr; // null: the address lies in none
};

// Threading: one thread at a time; reads files, so none that is in a hurry.
class Symbolizer {
  public:
    Symbolizer(); // of what is mapped now

    Symbol find(std::uintptr_t address);

    const std::vector<Mapping> &mappings() const { return mappings_; }
    const ElfSymbols &symbols_of(const Mapping &mapping);

  private:
    std::vector<Mapping> mappings_; // sorted by start
    std::map<std::string, ElfSymbols> files_;
};

} // namespace llamad
