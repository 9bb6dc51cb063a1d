#include "profiler/elf_symbols.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/file_descriptor.h"

namespace llamad {

namespace {

using Bytes = std::span<const unsigned char>;

// Empty where the file does not reach as far as its headers say.
Bytes part_of(Bytes file, std::uint64_t offset, std::uint64_t size) {
    if (offset > file.size() || size > file.size() - offset) {
        return {};
    }
    return file.subspan(offset, size);
}

// By copy: what a damaged file says lies anywhere.
template <typename T> std::optional<T> record_at(Bytes bytes, std::uint64_t offset) {
    const Bytes part = part_of(bytes, offset, sizeof(T));
    if (part.empty()) {
        return std::nullopt;
    }
    T record;
    std::memcpy(&record, part.data(), sizeof(T));
    return record;
}

std::string_view text_at(Bytes names, std::uint64_t offset) {
    if (offset >= names.size()) {
        return {};
    }
    const auto *const text = reinterpret_cast<const char *>(names.data()) + offset;
    return {text, strnlen(text, names.size() - offset)};
}

} // namespace

ElfSymbols::ElfSymbols(const std::string &path) {
    const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status{};
    if (file.get() < 0 || fstat(file.get(), &status) != 0 || status.st_size <= 0) {
        return;
    }
    const auto size = static_cast<std::size_t>(status.st_size);
    void *const data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (data == MAP_FAILED) {
        return;
    }
    read({static_cast<const unsigned char *>(data), size});
    munmap(data, size);
}

void ElfSymbols::read(Bytes file) {
    const auto header = record_at<Elf64_Ehdr>(file, 0);
    if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_shentsize != sizeof(Elf64_Shdr) ||
        header->e_phentsize != sizeof(Elf64_Phdr)) {
        return;
    }
    for (std::uint64_t i = 0; i < header->e_phnum; ++i) {
        const auto segment = record_at<Elf64_Phdr>(file, header->e_phoff + (i * sizeof(Elf64_Phdr)));
        if (segment && segment->p_type == PT_LOAD) {
            segments_.push_back({segment->p_offset, segment->p_filesz, segment->p_vaddr});
        } else if (segment && segment->p_type == PT_NOTE) {
            read_note(part_of(file, segment->p_offset, segment->p_filesz));
        }
    }
    for (const Elf64_Word table : {SHT_SYMTAB, SHT_DYNSYM}) {
        for (std::uint64_t i = 0; i < header->e_shnum && functions_.empty(); ++i) {
            const auto section = record_at<Elf64_Shdr>(file, header->e_shoff + (i * sizeof(Elf64_Shdr)));
            if (!section || section->sh_type != table) {
                continue;
            }
            const auto names = record_at<Elf64_Shdr>(
                file, header->e_shoff + (std::uint64_t{section->sh_link} * sizeof(Elf64_Shdr)));
            if (names) {
                read_functions(part_of(file, section->sh_offset, section->sh_size),
                               part_of(file, names->sh_offset, names->sh_size));
                complete_ = table == SHT_SYMTAB && !functions_.empty();
            }
        }
    }
    std::ranges::sort(functions_, {}, &Function::start);
}

void ElfSymbols::read_functions(Bytes symbols, Bytes names) {
    for (std::uint64_t offset = 0;; offset += sizeof(Elf64_Sym)) {
        const auto symbol = record_at<Elf64_Sym>(symbols, offset);
        if (!symbol) {
            return;
        }
        const int type = ELF64_ST_TYPE(symbol->st_info);
        if ((type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF) {
            functions_.push_back(
                {symbol->st_value, symbol->st_size, std::string(text_at(names, symbol->st_name))});
        }
    }
}

void ElfSymbols::read_note(Bytes notes) {
    const auto padded = [](std::uint64_t size) { return (size + 3) & ~std::uint64_t{3}; };
    for (std::uint64_t offset = 0;;) {
        const auto note = record_at<Elf64_Nhdr>(notes, offset);
        if (!note) {
            return;
        }
        const std::uint64_t description = offset + sizeof(Elf64_Nhdr) + padded(note->n_namesz);
        if (note->n_type == NT_GNU_BUILD_ID && build_id_.empty()) {
            constexpr char kDigits[] = "0123456789abcdef";
            for (const unsigned char byte : part_of(notes, description, note->n_descsz)) {
                build_id_ += {kDigits[byte >> 4], kDigits[byte & 15]};
            }
        }
        offset = description + padded(note->n_descsz);
    }
}

std::string_view ElfSymbols::at(std::uint64_t file_offset) const {
    const auto segment = std::ranges::find_if(segments_, [file_offset](const Segment &one) {
        return file_offset >= one.offset && file_offset - one.offset < one.size;
    });
    if (segment == segments_.end()) {
        return {};
    }
    const std::uint64_t address = file_offset - segment->offset + segment->address;
    const auto after = std::ranges::upper_bound(functions_, address, {}, &Function::start);
    if (after == functions_.begin()) {
        return {};
    }
    const Function &function = *std::prev(after);
    // Assembly that says no size reaches to the next function.
    return function.size == 0 || address - function.start < function.size ? function.name
                                                                          : std::string_view();
}

} // namespace llamad
