// The functions of an ELF file: a program or a shared library.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llamad {

// Reads the symbol table, and where the file was stripped of it, that of what it exports. A file that is
// missing or damaged has no symbols.
class ElfSymbols {
  public:
    explicit ElfSymbols(const std::string &path);

    // The mangled name of the function that holds this byte of the file; empty: none is known to.
    std::string_view at(std::uint64_t file_offset) const;

    // Of the linker's note, in hexadecimal; empty: there is none.
    const std::string &build_id() const { return build_id_; }

    // Whether every function is known, not only those that are exported.
    bool complete() const { return complete_; }

  private:
    struct Function {
        std::uint64_t start; // as linked
        std::uint64_t size;
        std::string name;
    };
    struct Segment {
        std::uint64_t offset; // in the file
        std::uint64_t size;
        std::uint64_t address; // as linked
    };

    void read(std::span<const unsigned char> file);
    void read_functions(std::span<const unsigned char> symbols, std::span<const unsigned char> names);
    void read_note(std::span<const unsigned char> notes);

    std::vector<Function> functions_; // sorted by start
    std::vector<Segment> segments_;
    std::string build_id_;
    bool complete_ = false;
};

} // namespace llamad
