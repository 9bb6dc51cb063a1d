#include "llama/quantize.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <regex>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "llama.h"

#include "core/errors.h"
#include "core/file_descriptor.h"
#include "llama/gguf_file.h"
#include "llama/llama_log.h"
#include "llama/model_file.h"
#include "llama/model_metadata.h"
#include "llama/processors.h"

namespace llamad {

namespace {

namespace fs = std::filesystem;

// From the most exact to the smallest.
constexpr std::array kTypes{LLAMA_FTYPE_ALL_F32,       LLAMA_FTYPE_MOSTLY_BF16,   LLAMA_FTYPE_MOSTLY_F16,
                            LLAMA_FTYPE_MOSTLY_Q8_0,   LLAMA_FTYPE_MOSTLY_Q6_K,   LLAMA_FTYPE_MOSTLY_Q5_K_M,
                            LLAMA_FTYPE_MOSTLY_Q5_K_S, LLAMA_FTYPE_MOSTLY_Q5_1,   LLAMA_FTYPE_MOSTLY_Q5_0,
                            LLAMA_FTYPE_MOSTLY_Q4_K_M, LLAMA_FTYPE_MOSTLY_Q4_K_S, LLAMA_FTYPE_MOSTLY_Q4_1,
                            LLAMA_FTYPE_MOSTLY_Q4_0,   LLAMA_FTYPE_MOSTLY_IQ4_NL, LLAMA_FTYPE_MOSTLY_IQ4_XS,
                            LLAMA_FTYPE_MOSTLY_Q3_K_L, LLAMA_FTYPE_MOSTLY_Q3_K_M, LLAMA_FTYPE_MOSTLY_IQ3_M,
                            LLAMA_FTYPE_MOSTLY_IQ3_S,  LLAMA_FTYPE_MOSTLY_Q3_K_S, LLAMA_FTYPE_MOSTLY_Q2_K,
                            LLAMA_FTYPE_MOSTLY_TQ2_0,  LLAMA_FTYPE_MOSTLY_TQ1_0};

// Without knowing which weights matter, these would be of no use, and llama.cpp refuses them.
constexpr std::array kNeedMatrix{
    LLAMA_FTYPE_MOSTLY_IQ3_XS,  LLAMA_FTYPE_MOSTLY_IQ3_XXS, LLAMA_FTYPE_MOSTLY_Q2_K_S,
    LLAMA_FTYPE_MOSTLY_IQ2_M,   LLAMA_FTYPE_MOSTLY_IQ2_S,   LLAMA_FTYPE_MOSTLY_IQ2_XS,
    LLAMA_FTYPE_MOSTLY_IQ2_XXS, LLAMA_FTYPE_MOSTLY_IQ1_M,   LLAMA_FTYPE_MOSTLY_IQ1_S};

// Rows of a tensor that are in memory at once, as they were, as floats and as they become; llama.cpp's own
// default is 8 GiB.
constexpr std::size_t kBufferBytes = std::size_t{256} << 20;

std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return text;
}

template <typename Types> std::optional<llama_ftype> find_type(const Types &types, const std::string &name) {
    const auto *const found = std::ranges::find_if(
        types, [&](llama_ftype type) { return lower(quantization_name(type)) == lower(name); });
    return found == types.end() ? std::nullopt : std::optional(*found);
}

// Adapters and vision parts are GGUF files, too.
void check_kind(const gguf_context *gguf, const std::string &path) {
    const std::int64_t id = gguf_find_key(gguf, "general.type");
    const bool has_type = id >= 0 && gguf_get_kv_type(gguf, id) == GGUF_TYPE_STRING;
    if (has_type && std::string_view(gguf_get_val_str(gguf, id)) == "adapter") {
        throw QuantizationError(path + " cannot be quantized: it is an adapter, not a model");
    }
    // llama.cpp pads what it writes to its own alignment, whatever the header goes on to say.
    if (gguf_get_alignment(gguf) != GGUF_DEFAULT_ALIGNMENT) {
        throw QuantizationError(path + " cannot be quantized: its tensors are aligned to " +
                                std::to_string(gguf_get_alignment(gguf)) + " bytes instead of " +
                                std::to_string(GGUF_DEFAULT_ALIGNMENT));
    }
}

void check_tensors(const gguf_context *gguf, const std::string &path, bool allow_requantize) {
    for (std::int64_t i = 0; i < gguf_get_n_tensors(gguf); ++i) {
        const std::string name = gguf_get_tensor_name(gguf, i);
        const ggml_type type = gguf_get_tensor_type(gguf, i);
        if (gguf_get_tensor_size(gguf, i) == 0) { // llama.cpp divides by it
            throw InvalidModelError(path + " cannot be quantized: " + name + " has no elements");
        }
        if (ggml_is_quantized(type) && !allow_requantize) {
            throw ParameterError("allow_requantize",
                                 path + " is quantized already (" + name + " is " + ggml_type_name(type) +
                                     "), and would lose once more; start from an F16, BF16 or F32 file, or "
                                     "say allow_requantize");
        }
    }
}

void check_source(const QuantizeOptions &options) {
    check_model_file(options.source);
    for (const std::string &part : model_file_parts(options.source)) {
        const GgufPtr gguf = open_gguf(part);
        check_kind(gguf.get(), part);
        check_tensors(gguf.get(), part, options.allow_requantize);
    }
}

// llama.cpp maps the source while it writes.
void check_target(const QuantizeOptions &options) {
    for (const std::string &part : model_file_parts(options.source)) {
        std::error_code ignored;
        if (fs::equivalent(part, options.target, ignored)) {
            throw ParameterError("target",
                                 "target must be another file than the source, got " + options.target);
        }
    }
}

[[noreturn]] void throw_write_error(const std::string &path, int code) {
    throw QuantizationError("cannot write " + path + ": " + std::generic_category().message(code));
}

void create(const std::string &path) {
    const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (file.get() < 0) {
        throw_write_error(path, errno);
    }
}

// llama.cpp only says that a write has failed: the next one tells why.
int write_error(const std::string &path) {
    const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    const std::array<char, 1 << 16> zeros{};
    const bool failed = file.get() < 0 || ::write(file.get(), zeros.data(), zeros.size()) < 0;
    return failed ? errno : EIO;
}

void discard(const std::string &path) {
    std::error_code ignored;
    if (fs::is_regular_file(path, ignored)) {
        fs::remove(path, ignored);
    }
}

llama_model_quantize_params parameters(const QuantizeOptions &options) {
    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = find_type(kTypes, options.type).value_or(LLAMA_FTYPE_GUESSED); // validate() has found it
    params.nthread = options.n_threads > 0 ? options.n_threads : available_processors();
    params.allow_requantize = options.allow_requantize;
    params.quantize_output_tensor = !options.keep_output_tensor;
    params.pure = options.pure;
    params.max_buf_size = kBufferBytes;
    return params;
}

// What llama.cpp's exception said: the log has it with a beginning that tells users nothing.
std::string reason_in(const std::string &log) {
    constexpr std::string_view kBeginning = "failed to quantize: ";
    const std::size_t found = log.rfind(kBeginning);
    return found == std::string::npos ? log : log.substr(found + kBeginning.size());
}

struct GivenUp : std::exception {
    const char *what() const noexcept override { return "given up"; }
};

// The log is all that llama.cpp tells while it works: `on_line` sees its lines, and may throw.
void run(const QuantizeOptions &options, const llama_model_quantize_params &params,
         const std::function<void(const std::string &)> &on_line) {
    std::exception_ptr raised;
    HeldLog log;
    const LogErrors errors;
    const LogListener listener([&](const std::string &line) {
        try {
            on_line(line);
        } catch (...) { // llama.cpp would say what of it
            raised = std::current_exception();
            throw GivenUp();
        }
    });
    const bool failed = llama_model_quantize(options.source.c_str(), options.target.c_str(), &params) != 0;
    if (raised) {
        std::rethrow_exception(raised);
    }
    if (failed) {
        const std::string text = reason_in(errors.text("no details given"));
        if (text.find("iostream error") != std::string::npos) {
            throw_write_error(options.target, write_error(options.target));
        }
        if (text.find("bad_alloc") != std::string::npos) {
            throw std::bad_alloc();
        }
        throw QuantizationError(options.source + " cannot be quantized: " + text);
    }
    log.release();
}

} // namespace

void QuantizeOptions::validate() const {
    if (find_type(kNeedMatrix, type)) {
        throw ParameterError("type", "type must be one that needs no importance matrix, got \"" + type +
                                         "\": such a matrix is computed from text, which llamad does not do");
    }
    if (!find_type(kTypes, type)) {
        std::string names;
        for (const std::string &name : quantization_types()) {
            names.append(names.empty() ? "" : ", ").append(name);
        }
        throw ParameterError("type", "type must be one of " + names + ", got \"" + type + '"');
    }
    if (n_threads < 0 || n_threads > 512) {
        throw ParameterError("n_threads", "n_threads must be 0 to 512, got " + std::to_string(n_threads));
    }
    if (source.empty()) {
        throw ParameterError("source", "source must not be empty");
    }
}

std::vector<std::string> quantization_types() {
    std::vector<std::string> names;
    names.reserve(kTypes.size());
    for (const llama_ftype type : kTypes) {
        names.push_back(lower(quantization_name(type)));
    }
    return names;
}

void quantize(const QuantizeOptions &options, const QuantizeProgress &on_progress) {
    options.validate();
    if (options.target.empty()) {
        throw ParameterError("target", "target must not be empty");
    }
    init_llama_backend();
    check_source(options);
    check_target(options);
    create(options.target);
    static const std::regex beginning(R"(\[ *(\d+)/ *(\d+)\] .*)"); // of a tensor, counted from 1
    std::int32_t n_tensors = 0;
    const auto on_line = [&](const std::string &line) {
        std::smatch match;
        if (std::regex_match(line, match, beginning) && on_progress) {
            n_tensors = std::stoi(match[2]);
            on_progress(std::stoi(match[1]) - 1, n_tensors);
        }
    };
    try {
        run(options, parameters(options), on_line);
        check_model_file(options.target);
        if (on_progress) {
            on_progress(n_tensors, n_tensors);
        }
    } catch (...) {
        discard(options.target);
        throw;
    }
}

std::uint64_t quantized_size(const QuantizeOptions &options) {
    options.validate();
    init_llama_backend();
    check_source(options);
    llama_model_quantize_params params = parameters(options);
    params.dry_run = true;
    static const std::regex total(R"(quant size *= *([0-9.]+) MiB)");
    double mebibytes = 0;
    run(options, params, [&](const std::string &line) {
        std::smatch match;
        if (std::regex_search(line, match, total)) {
            mebibytes = std::stod(match[1]);
        }
    });
    std::uint64_t size = 0;
    for (const std::string &part : model_file_parts(options.source)) {
        size += gguf_get_data_offset(open_gguf(part).get());
    }
    return size + static_cast<std::uint64_t>((mebibytes + 0.005) * (1 << 20)); // it is rounded to hundredths
}

} // namespace llamad
