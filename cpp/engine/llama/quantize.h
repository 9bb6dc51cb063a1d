// Another quantization of a model, by llama.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace llamad {

struct QuantizeOptions {
    std::string source;              // GGUF file; of a split model, its first part
    std::string target;              // the file to write, in one part; one that is there is replaced
    std::string type;                // one of quantization_types(), in any case
    std::int32_t n_threads = 0;      // 0: the machine's cores
    bool allow_requantize = false;   // also take weights that are quantized: they lose once more
    bool keep_output_tensor = false; // leave output.weight as it is
    bool pure = false;               // every tensor alike, instead of llama.cpp's mixture

    // Throws ParameterError naming the field and its value.
    void validate() const;
};

// The types that need no importance matrix, in lower case: "q8_0", "q4_k_m", ...
std::vector<std::string> quantization_types();

// Called as each tensor begins, with how many are done, and at the end. What it throws gives up.
using QuantizeProgress = std::function<void(std::int32_t n_done, std::int32_t n_tensors)>;

// Blocks while the model is read, computed and written; of a failure no file is left.
// Throws ParameterError, ModelNotFoundError, InvalidModelError or QuantizationError.
void quantize(const QuantizeOptions &options, const QuantizeProgress &on_progress);

// Bytes of the file that quantize() would write, give or take some 10 KiB. Throws as it does; the target is
// not looked at.
std::uint64_t quantized_size(const QuantizeOptions &options);

} // namespace llamad
