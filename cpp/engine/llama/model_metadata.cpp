#include "llama/model_metadata.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "gguf.h"
#include "llama.h"

#include "core/errors.h"
#include "llama/gguf_file.h"
#include "llama/llama_log.h"
#include "llama/model_file.h"

namespace llamad {

namespace {

// The architectures for which llama.cpp makes no KV cache and that generate no text (create_memory in its
// llama-model.cpp); T5's encoder is one, too.
constexpr std::array<std::string_view, 10> kEncoders{
    "bert",     "jina-bert-v2", "jina-bert-v3", "nomic-bert",      "nomic-bert-moe",
    "neo-bert", "eurobert",     "modern-bert",  "gemma-embedding", "t5encoder"};

bool is_encoder(std::string_view architecture) {
    return std::ranges::find(kEncoders, architecture) != kEncoders.end();
}

// ggml ends the process where a value is read as another type than it has.
std::optional<std::int64_t> integer(const gguf_context *gguf, const std::string &key) {
    const std::int64_t id = gguf_find_key(gguf, key.c_str());
    if (id < 0) {
        return std::nullopt;
    }
    switch (gguf_get_kv_type(gguf, id)) {
    case GGUF_TYPE_UINT16:
        return gguf_get_val_u16(gguf, id);
    case GGUF_TYPE_UINT32:
        return gguf_get_val_u32(gguf, id);
    case GGUF_TYPE_INT32:
        return gguf_get_val_i32(gguf, id);
    case GGUF_TYPE_UINT64:
        return static_cast<std::int64_t>(gguf_get_val_u64(gguf, id));
    case GGUF_TYPE_INT64:
        return gguf_get_val_i64(gguf, id);
    default:
        return std::nullopt;
    }
}

std::string string(const gguf_context *gguf, const char *key) {
    const std::int64_t id = gguf_find_key(gguf, key);
    return id >= 0 && gguf_get_kv_type(gguf, id) == GGUF_TYPE_STRING ? gguf_get_val_str(gguf, id) : "";
}

// Of the tensors of all parts: how many weights, and how many bytes by type.
struct Tensors {
    std::uint64_t n_params = 0;
    std::map<ggml_type, std::size_t> bytes;

    void add(const gguf_context *gguf) {
        for (std::int64_t i = 0; i < gguf_get_n_tensors(gguf); ++i) {
            const std::int64_t *extents = gguf_get_tensor_ne(gguf, i);
            std::uint64_t n = 1;
            for (int dimension = 0; dimension < GGML_MAX_DIMS; ++dimension) {
                n *= static_cast<std::uint64_t>(extents[dimension]);
            }
            n_params += n;
            bytes[gguf_get_tensor_type(gguf, i)] += gguf_get_tensor_size(gguf, i);
        }
    }

    // The name of the type that most of the bytes have.
    std::string quantization() const {
        const auto most = std::ranges::max_element(bytes, {}, [](const auto &entry) { return entry.second; });
        std::string name = most == bytes.end() ? "" : ggml_type_name(most->first);
        std::ranges::transform(name, name.begin(), [](char c) {
            return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        });
        return name;
    }
};

} // namespace

const char *name_of(ModelKind kind) {
    constexpr std::array<const char *, 3> kNames{"generate", "embed", "rerank"};
    return kNames.at(static_cast<std::size_t>(kind));
}

const char *name_of(Pooling pooling) {
    constexpr std::array<const char *, 5> kNames{"none", "mean", "cls", "last", "rank"};
    return kNames.at(static_cast<std::size_t>(pooling));
}

Pooling pooling_of(std::int64_t number) {
    switch (number) {
    case LLAMA_POOLING_TYPE_MEAN:
        return Pooling::kMean;
    case LLAMA_POOLING_TYPE_CLS:
        return Pooling::kCls;
    case LLAMA_POOLING_TYPE_LAST:
        return Pooling::kLast;
    case LLAMA_POOLING_TYPE_RANK:
        return Pooling::kRank;
    default:
        return Pooling::kNone;
    }
}

ModelKind kind_of(std::string_view architecture, Pooling pooling) {
    if (pooling == Pooling::kRank) {
        return ModelKind::kRerank;
    }
    return pooling != Pooling::kNone || is_encoder(architecture) ? ModelKind::kEmbed : ModelKind::kGenerate;
}

// llama.cpp says "Q4_K - Medium", "IQ4_XS - 4.25 bpw", "all F32"; two have another name everywhere else.
std::string quantization_name(std::int64_t ftype) {
    if (ftype == LLAMA_FTYPE_MOSTLY_Q2_K) {
        return "Q2_K";
    }
    if (ftype == LLAMA_FTYPE_MOSTLY_IQ3_M) {
        return "IQ3_M";
    }
    std::string name = llama_ftype_name(static_cast<llama_ftype>(ftype));
    if (name.starts_with("all ")) {
        return name.substr(4);
    }
    const std::size_t dash = name.find(" - ");
    if (dash == std::string::npos) {
        return name;
    }
    const std::string size = name.substr(dash + 3);
    name.resize(dash);
    for (const char *known : {"Small", "Medium", "Large"}) {
        if (size == known) {
            name.append("_").push_back(known[0]);
        }
    }
    return name;
}

ModelMetadata read_metadata(const std::string &path) {
    init_llama_backend();
    ModelMetadata metadata;
    Tensors tensors;
    for (const std::string &part : model_file_parts(path)) {
        const GgufPtr gguf = open_gguf(part);
        tensors.add(gguf.get());
        if (part != path) {
            continue;
        }
        metadata.architecture = string(gguf.get(), "general.architecture");
        metadata.name = string(gguf.get(), "general.name");
        metadata.has_chat_template = gguf_find_key(gguf.get(), "tokenizer.chat_template") >= 0;
        if (const auto ftype = integer(gguf.get(), "general.file_type")) {
            metadata.quantization = quantization_name(*ftype);
        }
        const auto of_model = [&](const char *key) {
            return integer(gguf.get(), metadata.architecture + "." + key).value_or(0);
        };
        metadata.n_ctx_train = static_cast<std::int32_t>(of_model("context_length"));
        metadata.n_embd = static_cast<std::int32_t>(of_model("embedding_length"));
        metadata.pooling = pooling_of(of_model("pooling_type"));
    }
    metadata.n_params = tensors.n_params;
    if (metadata.quantization.empty()) {
        metadata.quantization = tensors.quantization();
    }
    metadata.kind = kind_of(metadata.architecture, metadata.pooling);
    if (metadata.kind == ModelKind::kEmbed && metadata.pooling == Pooling::kNone) {
        metadata.pooling = Pooling::kMean;
    }
    return metadata;
}

} // namespace llamad
