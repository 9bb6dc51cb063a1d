#include "llama/model_file.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string_view>
#include <system_error>

#include "core/errors.h"
#include "llama/gguf_file.h"
#include "llama/llama_log.h"

namespace llamad {

namespace {

constexpr std::string_view kMagic = "GGUF";

void check_magic(const std::string &path, std::uintmax_t size) {
    std::array<char, kMagic.size()> magic{};
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw ModelNotFoundError(std::string("cannot open ").append(path).append(" for reading"));
    }
    file.read(magic.data(), magic.size());
    const std::string_view found(magic.data(), static_cast<std::size_t>(file.gcount()));
    if (size < kMagic.size() && kMagic.starts_with(found)) {
        throw TruncatedModelError(path + " is cut off: it has " + std::to_string(size) + " bytes");
    }
    if (found != kMagic) {
        throw InvalidModelError(path + " is not a GGUF file: it does not begin with \"GGUF\"");
    }
}

std::uintmax_t size_of_file(const std::string &path) {
    std::error_code error;
    const std::filesystem::file_status status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status)) {
        throw ModelNotFoundError("no such model file: " + path);
    }
    if (!std::filesystem::is_regular_file(status)) {
        throw InvalidModelError(path + " is not a file");
    }
    const std::uintmax_t size = std::filesystem::file_size(path, error);
    if (error) {
        throw ModelNotFoundError("cannot read " + path + ": " + error.message());
    }
    return size;
}

// Nothing multiplies weights of the types that ggml has for intermediate results: it would call what is not
// there.
void check_type(const gguf_context *gguf, std::int64_t tensor, const std::string &path) {
    const ggml_type type = gguf_get_tensor_type(gguf, tensor);
    if (type == GGML_TYPE_Q8_1 || type == GGML_TYPE_Q8_K) {
        throw InvalidModelError(path + " cannot be used: " + gguf_get_tensor_name(gguf, tensor) +
                                " has the type " + ggml_type_name(type) + ", which is not one of weights");
    }
}

void check_part(const std::string &path) {
    const GgufPtr gguf = open_gguf(path);
    const std::uintmax_t size = size_of_file(path);
    std::uintmax_t end = gguf_get_data_offset(gguf.get());
    for (std::int64_t i = 0; i < gguf_get_n_tensors(gguf.get()); ++i) {
        check_type(gguf.get(), i, path);
        end = std::max<std::uintmax_t>(end, gguf_get_data_offset(gguf.get()) +
                                                gguf_get_tensor_offset(gguf.get(), i) +
                                                gguf_get_tensor_size(gguf.get(), i));
    }
    if (end > size) {
        throw TruncatedModelError(path + " is cut off: its tensors need " + std::to_string(end) +
                                  " bytes, it has " + std::to_string(size) + "; fetch it again");
    }
}

} // namespace

GgufPtr open_gguf(const std::string &path) {
    check_magic(path, size_of_file(path));
    const LogErrors errors;
    GgufPtr gguf(gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr}));
    if (gguf == nullptr) {
        throw InvalidModelError(path + " has a damaged or cut-off GGUF header (" +
                                errors.text("no details given") + ")");
    }
    return gguf;
}

std::vector<std::string> model_file_parts(const std::string &path) {
    static const std::regex pattern(R"((.*)-00001-of-(\d{5})\.gguf)");
    std::smatch match;
    if (!std::regex_match(path, match, pattern)) {
        return {path};
    }
    const std::string count = match[2];
    std::vector<std::string> parts;
    for (int i = 1; i <= std::stoi(count); ++i) {
        std::string number = std::to_string(i);
        number.insert(0, count.size() - number.size(), '0');
        parts.push_back(match[1].str() + "-" + number + "-of-" + count + ".gguf");
    }
    return parts;
}

void check_model_file(const std::string &path) {
    init_llama_backend();
    for (const std::string &part : model_file_parts(path)) {
        check_part(part);
    }
}

} // namespace llamad
