#include "llama/llama_model.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "llama.h"

#include "core/detokenizer.h"
#include "core/errors.h"
#include "llama/llama_log.h"
#include "llama/model_file.h"

namespace llamad {

namespace {

const char *vocab_type_name(enum llama_vocab_type type) {
    switch (type) {
    case LLAMA_VOCAB_TYPE_SPM:
        return "spm";
    case LLAMA_VOCAB_TYPE_BPE:
        return "bpe";
    case LLAMA_VOCAB_TYPE_WPM:
        return "wpm";
    case LLAMA_VOCAB_TYPE_UGM:
        return "ugm";
    case LLAMA_VOCAB_TYPE_RWKV:
        return "rwkv";
    case LLAMA_VOCAB_TYPE_PLAMO2:
        return "plamo2";
    default:
        return "other";
    }
}

std::string metadata(const llama_model *model, const char *key) {
    std::array<char, 256> value{};
    llama_model_meta_val_str(model, key, value.data(), value.size());
    return value.data();
}

} // namespace

LlamaModel::LlamaModel(const EngineConfig &config, const Progress &progress)
    : LlamaModel(config, progress, ModelWeights::kLoaded) {
    index_vocabulary();
}

LlamaModel LlamaModel::without_weights(const EngineConfig &config) {
    return {config, /*progress=*/nullptr, ModelWeights::kNone};
}

LlamaModel::LlamaModel(const EngineConfig &config, const Progress &progress, ModelWeights weights)
    : path_(config.model_path) {
    init_llama_backend();
    check_model_file(path_);
    model_ = load_model(config, progress, weights);
    vocab_ = llama_model_get_vocab(model_.get());
    if (llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_NONE) {
        throw ModelLoadError(path_ + " cannot be used: it has no tokenizer");
    }
    layer_devices_ = devices_of_layers(*model_);
    adapters_ = load_adapters(model_.get(), config);
}

ModelKind LlamaModel::kind() const {
    return kind_of(metadata(model_.get(), "general.architecture"), pooling());
}

Pooling LlamaModel::pooling() const {
    const std::string key = metadata(model_.get(), "general.architecture") + ".pooling_type";
    const std::string value = metadata(model_.get(), key.c_str());
    std::int64_t number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    return pooling_of(number);
}

void LlamaModel::require_text_generation() const {
    std::string problem;
    if (kind() != ModelKind::kGenerate) {
        problem = std::string("it is made for ") +
                  (kind() == ModelKind::kEmbed ? "embeddings" : "reranking") + "; load it as an Embedder";
    } else if (llama_model_has_encoder(model_.get())) {
        problem = "encoder and encoder-decoder models are not supported";
    } else if (llama_model_is_diffusion(model_.get())) {
        problem = "diffusion models are not supported";
    }
    if (!problem.empty()) {
        throw ModelLoadError(path_ + " cannot generate text: " + problem + " (architecture " +
                             metadata(model_.get(), "general.architecture") + ")");
    }
}

void LlamaModel::index_vocabulary() {
    const std::int32_t n_vocab = llama_vocab_n_tokens(vocab_);
    piece_ends_.reserve(static_cast<std::size_t>(n_vocab));
    for (TokenId token = 0; token < n_vocab; ++token) {
        const std::string bytes = piece(token, /*special=*/false);
        pieces_ += bytes;
        // A control token has no bytes of its own, but a text may spell it out.
        longest_token_ =
            std::max(longest_token_, (bytes.empty() ? piece(token, /*special=*/true) : bytes).size());
        piece_ends_.push_back(static_cast<std::uint32_t>(pieces_.size()));
        if (is_end_of_generation(token)) {
            eog_tokens_.push_back(token);
        }
    }
}

std::string LlamaModel::piece(TokenId token, bool special) const {
    std::string text(16, '\0');
    const auto write = [&] {
        return llama_token_to_piece(vocab_, token, text.data(), static_cast<std::int32_t>(text.size()), 0,
                                    special);
    };
    std::int32_t length = write();
    if (length < 0) {
        text.resize(static_cast<std::size_t>(-length));
        length = write();
    }
    text.resize(static_cast<std::size_t>(length));
    return text;
}

ModelInfo LlamaModel::info() const {
    std::array<char, 256> description{};
    llama_model_desc(model_.get(), description.data(), description.size());
    ModelInfo info{.architecture = metadata(model_.get(), "general.architecture"),
                   .description = description.data(),
                   .n_params = llama_model_n_params(model_.get()),
                   .size_bytes = llama_model_size(model_.get()),
                   .n_vocab = n_vocab(),
                   .n_ctx_train = llama_model_n_ctx_train(model_.get()),
                   .has_chat_template = llama_model_chat_template(model_.get(), nullptr) != nullptr,
                   .can_infill = can_infill(),
                   .quantization = quantization_name(llama_model_ftype(model_.get()) & ~LLAMA_FTYPE_GUESSED),
                   .vocab_type = vocab_type_name(llama_vocab_type(vocab_)),
                   .bos_token = {},
                   .eos_token = {},
                   .memory = {}};
    const auto text_of = [this](TokenId token) {
        return token == LLAMA_TOKEN_NULL ? std::string() : piece(token, /*special=*/true);
    };
    info.bos_token = text_of(llama_vocab_bos(vocab_));
    info.eos_token = text_of(llama_vocab_eos(vocab_));
    return info;
}

std::vector<std::string> ModelInfo::devices() const {
    std::vector<std::string> names;
    for (const MemoryUse &use : memory) {
        if (use.n_layers > 0) {
            names.push_back(use.device.name);
        }
    }
    return names;
}

LayerPlacement LlamaModel::placement() const {
    const auto is_on_gpu = [](ggml_backend_dev_t device) {
        return ggml_backend_dev_type(device) != GGML_BACKEND_DEVICE_TYPE_CPU;
    };
    return {.n_layers = static_cast<std::int32_t>(layer_devices_.size()),
            .n_on_gpus = static_cast<std::int32_t>(std::ranges::count_if(layer_devices_, is_on_gpu)),
            .output_on_gpu = is_on_gpu(layer_devices_.back())};
}

std::vector<TokenId> LlamaModel::tokenize(std::string_view text, bool add_special, bool parse_special) const {
    // At most one token a byte, and a few that are added.
    std::vector<TokenId> tokens(text.size() + 8);
    const auto write = [&] {
        return llama_tokenize(vocab_, text.data(), static_cast<std::int32_t>(text.size()), tokens.data(),
                              static_cast<std::int32_t>(tokens.size()), add_special, parse_special);
    };
    std::int32_t n_tokens = write();
    if (n_tokens < 0) {
        tokens.resize(static_cast<std::size_t>(-n_tokens));
        n_tokens = write();
    }
    tokens.resize(static_cast<std::size_t>(n_tokens));
    return tokens;
}

std::string LlamaModel::detokenize(std::span<const TokenId> tokens, bool special) const {
    std::string text;
    Detokenizer detokenizer;
    for (const TokenId token : tokens) {
        require_token(token);
        detokenizer.push(piece(token, special), text);
    }
    detokenizer.flush(text);
    return text;
}

void LlamaModel::require_token(TokenId token) const {
    if (token < 0 || token >= n_vocab()) {
        throw ParameterError("token_ids", "token_ids must be ids from 0 to " + std::to_string(n_vocab() - 1) +
                                              ", got " + std::to_string(token));
    }
}

std::string LlamaModel::written_out(TokenId token) const {
    require_token(token);
    return piece(token, /*special=*/true);
}

std::vector<TokenId> LlamaModel::control_tokens(const std::vector<std::string> &words) const {
    std::vector<TokenId> found;
    for (const std::string &word : words) {
        const std::vector<TokenId> tokens = tokenize(word, /*add_special=*/false, /*parse_special=*/true);
        if (tokens.size() == 1 && token_bytes(tokens.front()).empty()) {
            found.push_back(tokens.front());
        }
    }
    return found;
}

bool LlamaModel::can_infill() const {
    return llama_vocab_fim_pre(vocab_) != LLAMA_TOKEN_NULL &&
           llama_vocab_fim_suf(vocab_) != LLAMA_TOKEN_NULL && llama_vocab_fim_mid(vocab_) != LLAMA_TOKEN_NULL;
}

std::vector<TokenId> LlamaModel::infill_prompt(std::string_view prefix, std::string_view suffix) const {
    if (!can_infill()) {
        throw ParameterError("suffix", "suffix needs a model with tokens for filling in the middle, and this "
                                       "one has none");
    }
    std::vector<TokenId> prompt;
    const auto add_text = [&](std::string_view text) {
        const std::vector<TokenId> tokens = tokenize(text, /*add_special=*/false, /*parse_special=*/false);
        prompt.insert(prompt.end(), tokens.begin(), tokens.end());
    };
    if (llama_vocab_get_add_bos(vocab_)) {
        prompt.push_back(llama_vocab_bos(vocab_));
    }
    prompt.push_back(llama_vocab_fim_pre(vocab_));
    add_text(prefix);
    prompt.push_back(llama_vocab_fim_suf(vocab_));
    add_text(suffix);
    prompt.push_back(llama_vocab_fim_mid(vocab_));
    return prompt;
}

std::string_view LlamaModel::token_bytes(TokenId token) const {
    const auto index = static_cast<std::size_t>(token);
    const std::uint32_t begin = index == 0 ? 0 : piece_ends_[index - 1];
    return std::string_view(pieces_).substr(begin, piece_ends_[index] - begin);
}

bool LlamaModel::is_end_of_generation(TokenId token) const { return llama_vocab_is_eog(vocab_, token); }

std::vector<TokenId> LlamaModel::suppressed_tokens() const {
    std::int32_t n_tokens = 0;
    const llama_token *tokens = llama_vocab_get_suppress_tokens(vocab_, &n_tokens);
    return {tokens, tokens + n_tokens};
}

} // namespace llamad
