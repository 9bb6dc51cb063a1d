#include "llama/memory_estimate.h"

#include <algorithm>

#include "llama.h"

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

bool is_gpu(ggml_backend_dev_t device) {
    const enum ggml_backend_dev_type type = ggml_backend_dev_type(device);
    return type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU ||
           type == GGML_BACKEND_DEVICE_TYPE_META;
}

// GPUs that split the tensors among them are one device to llama.cpp. Each has a part of every layer; what it
// says of their buffers is the size of the largest part.
void name_each_gpu(std::vector<MemoryUse> &uses) {
    const MemoryUse of_each = uses.back();
    uses.pop_back();
    for (ggml_backend_dev_t gpu : gpus()) {
        uses.push_back(of_each);
        uses.back().device = describe(gpu);
    }
}

MemoryUse &entry_of(std::vector<MemoryUse> &uses, ggml_backend_dev_t device) {
    const auto found = std::ranges::find(uses, ggml_backend_dev_name(device),
                                         [](const MemoryUse &use) { return use.device.name; });
    return found == uses.end() ? uses.front() : *found;
}

// The entry of the device that a buffer type allocates on: whatever is no GPU's own is the host's.
MemoryUse &entry_of(std::vector<MemoryUse> &uses, ggml_backend_buffer_type_t type) {
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
    const bool is_own = device != nullptr && is_gpu(device) && !ggml_backend_buft_is_host(type);
    return is_own ? entry_of(uses, device) : uses.front();
}

// What llama.cpp can say of memory before it has any: see estimate_memory().
EngineConfig split_by_layers(EngineConfig config) {
    if (config.split_mode == "tensor") {
        config.split_mode = "layer";
        if (config.tensor_split.empty()) {
            config.tensor_split.assign(gpus().size(), 1);
        }
    }
    return config;
}

// Logits or embeddings of a batch, as float32 in host memory; llama.cpp makes room for them when it computes.
std::uint64_t result_bytes(const LlamaModel &model, std::int32_t n_rows, std::int32_t n_embd) {
    const std::int64_t n_floats = std::int64_t{llama_vocab_n_tokens(model.vocab())} + n_embd;
    return static_cast<std::uint64_t>(n_rows * n_floats) * sizeof(float);
}

} // namespace

std::vector<MemoryUse> memory_uses(const LlamaModel &model, const llama_context *context,
                                   const BackendShortlist *shortlist) {
    std::vector<MemoryUse> uses{{.device = describe(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU))}};
    bool splits_tensors = false;
    for (std::int32_t i = 0; i < llama_model_n_devices(model.get()); ++i) {
        ggml_backend_dev_t device = llama_model_get_device(model.get(), i);
        if (is_gpu(device)) {
            uses.push_back({.device = describe(device)});
            splits_tensors = ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_META;
        }
    }
    for (ggml_backend_dev_t device : model.layer_devices()) {
        ++entry_of(uses, device).n_layers;
    }
    for (const auto &[type, bytes] : llama_get_memory_breakdown(context)) {
        MemoryUse &use = entry_of(uses, type);
        use.weights += bytes.model;
        use.context += bytes.context;
        use.compute += bytes.compute;
    }
    if (shortlist != nullptr) {
        entry_of(uses, shortlist->buffer_type()).context += shortlist->device_bytes();
    }
    uses.front().weights += static_cast<std::uint64_t>(llama_vocab_n_tokens(model.vocab())) * kBytesPerToken;
    if (splits_tensors) {
        name_each_gpu(uses);
    }
    return uses;
}

std::vector<MemoryUse> estimate_memory(const EngineConfig &config) {
    config.validate();
    const HeldLog log; // loading says it all again
    const LlamaModel model = LlamaModel::without_weights(split_by_layers(config));
    model.require_text_generation();
    const GenerationContext made = generation_context(model, config);
    std::vector<MemoryUse> uses = memory_uses(model, made.context.get(), made.shortlist.get());
    // Where it samples, llama.cpp has room for logits, probabilities and tokens besides.
    const std::uint64_t n_results = made.shortlist == nullptr ? 1 : 4;
    uses.front().context += n_results * result_bytes(model, made.n_outputs, /*n_embd=*/0);
    // An adapter lies where the tensors lie that it changes: most of it where most of them are.
    std::ranges::max_element(uses, {}, &MemoryUse::weights)->weights += adapter_bytes(config);
    return uses;
}

std::vector<MemoryUse> estimate_memory(const EmbedderConfig &config) {
    config.validate();
    const HeldLog log;
    const LlamaModel model = LlamaModel::without_weights(split_by_layers(config.engine_config()));
    const EmbeddingContext made = embedding_context(model, config);
    std::vector<MemoryUse> uses = memory_uses(model, made.context.get());
    const auto n_batch = static_cast<std::int32_t>(llama_n_batch(made.context.get()));
    uses.front().context += result_bytes(model, n_batch, llama_model_n_embd_out(model.get()));
    return uses;
}

} // namespace llamad
