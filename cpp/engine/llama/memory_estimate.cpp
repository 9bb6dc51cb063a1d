#include "llama/memory_estimate.h"

#include <algorithm>

#include "llama.h"

#include "core/host_memory.h"
#include "llama/llama_log.h"
#include "llama/llama_model.h"
#include "llama/lora_adapter.h"
#include "llama/model_context.h"

#include "../src/llama-ext.h" // from where llama.h lies: it is not installed beside it

namespace llamad {

namespace {

// What llama.cpp keeps for a token of the vocabulary: measured 414 bytes for one of 49k with as many merges,
// and 250 for one of 30k word pieces.
constexpr std::uint64_t kBytesPerToken = 400;

Device describe(ggml_backend_dev_t device) {
    Device described{.name = ggml_backend_dev_name(device),
                     .description = ggml_backend_dev_description(device)};
    if (ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) {
        const HostMemory memory = host_memory(); // ggml takes all of the machine's memory to be free
        described.total = memory.total;
        described.free = memory.free;
        return described;
    }
    std::size_t total = 0;
    std::size_t free = 0;
    ggml_backend_dev_memory(device, &free, &total);
    described.total = total;
    described.free = free;
    return described;
}

bool is_gpu(ggml_backend_dev_t device) {
    const enum ggml_backend_dev_type type = ggml_backend_dev_type(device);
    return type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
}

// The entry of the device that a buffer type allocates on: whatever is no GPU's own is the host's.
MemoryUse &entry_of(std::vector<MemoryUse> &uses, ggml_backend_buffer_type_t type) {
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
    if (device != nullptr && is_gpu(device) && !ggml_backend_buft_is_host(type)) {
        for (MemoryUse &use : uses) {
            if (use.device.name == ggml_backend_dev_name(device)) {
                return use;
            }
        }
    }
    return uses.front();
}

std::vector<MemoryUse> uses_of(const LlamaModel &model, const llama_context *context) {
    std::vector<MemoryUse> uses{{.device = describe(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU))}};
    for (std::int32_t i = 0; i < llama_model_n_devices(model.get()); ++i) {
        ggml_backend_dev_t device = llama_model_get_device(model.get(), i);
        if (is_gpu(device)) {
            uses.push_back({.device = describe(device)});
        }
    }
    for (const auto &[type, bytes] : llama_get_memory_breakdown(context)) {
        MemoryUse &use = entry_of(uses, type);
        use.weights += bytes.model;
        use.context += bytes.context;
        use.compute += bytes.compute;
    }
    uses.front().weights += static_cast<std::uint64_t>(llama_vocab_n_tokens(model.vocab())) * kBytesPerToken;
    return uses;
}

// Logits or embeddings of a batch, as float32 in host memory; llama.cpp makes room for them when it computes.
std::uint64_t result_bytes(const LlamaModel &model, std::int32_t n_rows, std::int32_t n_embd) {
    const std::int64_t n_floats = std::int64_t{llama_vocab_n_tokens(model.vocab())} + n_embd;
    return static_cast<std::uint64_t>(n_rows * n_floats) * sizeof(float);
}

} // namespace

std::vector<Device> devices() {
    init_llama_backend();
    std::vector<Device> found;
    for (std::size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        const bool is_cpu = ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU;
        if (is_cpu || is_gpu(device)) {
            found.insert(is_cpu ? found.begin() : found.end(), describe(device));
        }
    }
    return found;
}

std::vector<MemoryUse> estimate_memory(const EngineConfig &config) {
    config.validate();
    const HeldLog log; // loading says it all again
    const LlamaModel model = LlamaModel::without_weights(config);
    model.require_text_generation();
    const GenerationContext made = generation_context(model, config);
    std::vector<MemoryUse> uses = uses_of(model, made.context.get());
    uses.front().context += result_bytes(model, made.n_outputs, /*n_embd=*/0);
    // An adapter lies where the tensors lie that it changes: most of it where most of them are.
    std::ranges::max_element(uses, {}, &MemoryUse::weights)->weights += adapter_bytes(config);
    return uses;
}

std::vector<MemoryUse> estimate_memory(const EmbedderConfig &config) {
    config.validate();
    const HeldLog log;
    const LlamaModel model = LlamaModel::without_weights(config.engine_config());
    const EmbeddingContext made = embedding_context(model, config);
    std::vector<MemoryUse> uses = uses_of(model, made.context.get());
    const auto n_batch = static_cast<std::int32_t>(llama_n_batch(made.context.get()));
    uses.front().context += result_bytes(model, n_batch, llama_model_n_embd_out(model.get()));
    return uses;
}

} // namespace llamad
