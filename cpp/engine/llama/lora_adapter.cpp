#include "llama/lora_adapter.h"

#include <cmath>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "llama.h"

#include "core/errors.h"
#include "llama/gguf_file.h"
#include "llama/llama_log.h"
#include "llama/model_file.h"

namespace llamad {

namespace {

constexpr std::string_view kSuffixA = ".lora_a";
constexpr std::string_view kSuffixB = ".lora_b";
constexpr const char *kEmbeddings = "token_embd.weight";

struct ContextDeleter {
    void operator()(ggml_context *context) const { ggml_free(context); }
};

// A file's metadata and its tensors, without their data.
struct Header {
    GgufPtr gguf;
    std::unique_ptr<ggml_context, ContextDeleter> tensors;

    explicit Header(const std::string &path) {
        check_model_file(path);
        ggml_context *context = nullptr;
        const HeldLog log;
        gguf.reset(gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = &context}));
        tensors.reset(context);
        if (gguf == nullptr) {
            throw InvalidModelError("its header is damaged");
        }
    }

    // Where llama.cpp meets a value of another type, it ends the process.
    std::string text(const char *key) const {
        const std::int64_t id = gguf_find_key(gguf.get(), key);
        if (id < 0 || gguf_get_kv_type(gguf.get(), id) != GGUF_TYPE_STRING) {
            return {};
        }
        return gguf_get_val_str(gguf.get(), id);
    }

    template <typename Work> void for_each_tensor(Work work) const {
        for (ggml_tensor *tensor = ggml_get_first_tensor(tensors.get()); tensor != nullptr;
             tensor = ggml_get_next_tensor(tensors.get(), tensor)) {
            work(tensor);
        }
    }

    std::uint64_t tensor_bytes() const {
        std::uint64_t n_bytes = 0;
        for (std::int64_t i = 0; i < gguf_get_n_tensors(gguf.get()); ++i) {
            n_bytes += gguf_get_tensor_size(gguf.get(), i);
        }
        return n_bytes;
    }
};

// The tensors of a model, by name.
class ModelTensors {
  public:
    explicit ModelTensors(const std::string &path) {
        for (const std::string &part : model_file_parts(path)) {
            headers_.emplace_back(part).for_each_tensor(
                [this](const ggml_tensor *tensor) { by_name_.emplace(tensor->name, tensor); });
        }
    }

    const ggml_tensor *find(const std::string &name) const {
        const auto found = by_name_.find(name);
        return found == by_name_.end() ? nullptr : found->second;
    }

    // Whether the output matrix is a tensor of its own.
    bool has_output() const { return find("output.weight") != nullptr; }

  private:
    std::vector<Header> headers_;
    std::unordered_map<std::string, const ggml_tensor *> by_name_;
};

void check_metadata(const Header &header) {
    const gguf_context *gguf = header.gguf.get();
    if (header.text("general.type") != "adapter" || header.text("adapter.type") != "lora") {
        throw InvalidModelError(R"(it is no LoRA adapter (general.type "adapter", adapter.type "lora"))");
    }
    if (header.text("general.architecture").empty()) {
        throw InvalidModelError("it does not say of which architecture it is");
    }
    const std::int64_t alpha = gguf_find_key(gguf, "adapter.lora.alpha");
    if (alpha >= 0 && (gguf_get_kv_type(gguf, alpha) != GGUF_TYPE_FLOAT32 ||
                       !std::isfinite(gguf_get_val_f32(gguf, alpha)))) {
        throw InvalidModelError("adapter.lora.alpha must be a finite float32");
    }
    if (gguf_find_key(gguf, "adapter.alora.invocation_tokens") >= 0) {
        throw InvalidModelError("adapters that only hold from certain tokens on are not supported");
    }
}

void check_type(const ggml_tensor *tensor) {
    const bool is_float =
        tensor->type == GGML_TYPE_F32 || tensor->type == GGML_TYPE_F16 || tensor->type == GGML_TYPE_BF16;
    if (!is_float && !ggml_is_quantized(tensor->type)) {
        throw InvalidModelError(std::string(tensor->name) +
                                " has a type that cannot be multiplied: " + ggml_type_name(tensor->type));
    }
    if (ggml_nelements(tensor) == 0 || tensor->ne[3] != 1) {
        throw InvalidModelError(std::string(tensor->name) + " is no matrix");
    }
}

// Of what llama.cpp assumes where it multiplies, not all is checked where it loads.
void check_pair(const ggml_tensor *a, const ggml_tensor *b, const std::string &name,
                const ModelTensors &model) {
    check_type(a);
    check_type(b);
    const ggml_tensor *changed = model.find(name);
    if (changed == nullptr) {
        throw InvalidModelError("it changes " + name + ", which the model does not have");
    }
    if (changed->type == GGML_TYPE_NVFP4) {
        throw InvalidModelError("it changes " + name + ", which is NVFP4: not supported");
    }
    // Rows of the embeddings are looked up, not multiplied: there the rank is A's row length, too.
    const bool is_lookup = name == kEmbeddings;
    const std::int64_t rank = is_lookup ? a->ne[0] : a->ne[1];
    const std::int64_t n_in = is_lookup ? b->ne[1] : a->ne[0];
    const std::int64_t n_out = is_lookup ? a->ne[1] : b->ne[1];
    if (b->ne[0] != rank || n_in != changed->ne[0] || n_out != changed->ne[1] || a->ne[2] != changed->ne[2] ||
        b->ne[2] != changed->ne[2]) {
        throw InvalidModelError("its matrices for " + name + " do not have the shape of the model's");
    }
    if (is_lookup && !model.has_output()) {
        throw InvalidModelError("it changes " + name +
                                ", which this model also uses as its output matrix: not supported");
    }
}

void check_tensors(const Header &header, const ModelTensors &model) {
    ggml_context *tensors = header.tensors.get();
    const auto partner = [tensors](std::string_view name, std::string_view own, std::string_view other) {
        const std::string changed(name.substr(0, name.size() - own.size()));
        const std::string wanted = changed + std::string(other);
        const ggml_tensor *found = ggml_get_tensor(tensors, wanted.c_str());
        if (found == nullptr) {
            throw InvalidModelError("it has no " + wanted);
        }
        return std::pair(found, changed);
    };
    header.for_each_tensor([&](const ggml_tensor *tensor) {
        const std::string_view name = tensor->name;
        if (name.ends_with(kSuffixA)) {
            const auto [b, changed] = partner(name, kSuffixA, kSuffixB);
            check_pair(tensor, b, changed, model);
        } else if (name.ends_with(kSuffixB)) {
            partner(name, kSuffixB, kSuffixA);
        }
    });
}

llama_adapter_lora *load(llama_model *model, const std::string &path, const ModelTensors &tensors) {
    const Header header(path);
    check_metadata(header);
    check_tensors(header, tensors);
    HeldLog log;
    const LogErrors errors;
    llama_adapter_lora *adapter = llama_adapter_lora_init(model, path.c_str());
    if (adapter == nullptr) {
        throw InvalidModelError(errors.text("llama.cpp does not say why"));
    }
    log.release();
    return adapter;
}

// The adapter is to blame, not the model: what went wrong with its file is not the model's error.
template <typename Work> auto blaming(const std::string &path, Work work) {
    try {
        return work();
    } catch (const ModelError &error) {
        throw ModelLoadError("cannot use the LoRA adapter " + path + ": " + error.what());
    }
}

} // namespace

std::vector<LoadedAdapter> load_adapters(llama_model *model, const EngineConfig &config) {
    std::vector<LoadedAdapter> loaded;
    if (config.lora_adapters.empty()) {
        return loaded;
    }
    const ModelTensors tensors(config.model_path);
    for (const LoraAdapter &wanted : config.lora_adapters) {
        loaded.push_back({.adapter = blaming(wanted.path, [&] { return load(model, wanted.path, tensors); }),
                          .scale = wanted.scale});
    }
    return loaded;
}

void attach(llama_context *context, const std::vector<LoadedAdapter> &adapters) {
    std::vector<llama_adapter_lora *> pointers;
    std::vector<float> scales;
    for (const LoadedAdapter &one : adapters) {
        pointers.push_back(one.adapter);
        scales.push_back(one.scale);
    }
    llama_set_adapters_lora(context, pointers.data(), pointers.size(), scales.data());
}

std::uint64_t adapter_bytes(const EngineConfig &config) {
    std::uint64_t n_bytes = 0;
    for (const LoraAdapter &adapter : config.lora_adapters) {
        n_bytes += blaming(adapter.path, [&] { return Header(adapter.path).tensor_bytes(); });
    }
    return n_bytes;
}

} // namespace llamad
