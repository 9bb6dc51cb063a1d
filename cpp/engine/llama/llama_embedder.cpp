#include "llama/llama_embedder.h"

#include <algorithm>
#include <utility>

#include "llama.h"

#include "core/errors.h"
#include "core/host_memory.h"
#include "llama/layer_fit.h"
#include "llama/llama_embedding_runner.h"
#include "llama/rerank_prompt.h"

namespace llamad {

namespace {

// Bytes of text that are tokenized in any case, so that the error can say how many tokens there are.
constexpr std::size_t kAlwaysTokenized = 65'536;

std::uint64_t next_embedder_id() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
}

std::string indexed(const char *name, std::size_t index) {
    return std::string(name).append("[").append(std::to_string(index)).append("]");
}

} // namespace

LlamaEmbedder::LlamaEmbedder(const EmbedderConfig &config, const LlamaModel::Progress &progress)
    : id_(next_embedder_id()) {
    config.validate();
    const EmbedderConfig decided = placed_to_load(config);
    auto model = std::make_shared<const LlamaModel>(decided.engine_config(), progress);
    if (model->kind() == ModelKind::kGenerate) {
        throw ModelLoadError(config.model_path +
                             " cannot embed: it is made for generating text; load it as an Engine");
    }
    if (llama_model_has_encoder(model->get())) {
        throw ModelLoadError(config.model_path + " cannot embed: T5 encoders are not supported");
    }
    auto runner = std::make_unique<LlamaEmbeddingRunner>(model, decided);
    info_ = {.model = model->info(),
             .kind = model->kind(),
             .pooling = runner->limits().pooling,
             .n_out = runner->limits().n_out};
    info_.model.memory = runner->memory();
    info_.model.n_ctx = runner->limits().n_ctx;
    longest_token_ = model->longest_token();
    model_ = std::move(model);
    engine_ = std::make_unique<EmbedEngine>(
        std::move(runner),
        EmbedEngineLimits{.max_queue = config.max_queue, .request_timeout_s = config.request_timeout_s});
}

std::shared_ptr<const LlamaModel> LlamaEmbedder::loaded() const {
    home_.require_here();
    const std::lock_guard lock(mutex_);
    if (model_ == nullptr) {
        throw EngineClosedError("the engine is closed");
    }
    return model_;
}

void LlamaEmbedder::require_kind(ModelKind kind, const char *task) const {
    if (info_.kind != kind) {
        throw ParameterError("model", std::string("the model cannot ") + task + ": it is made for " +
                                          (info_.kind == ModelKind::kRerank ? "reranking" : "embeddings"));
    }
}

PreparedEmbedding LlamaEmbedder::prepare(const std::vector<EmbedInput> &inputs) const {
    const std::shared_ptr<const LlamaModel> model = loaded();
    require_kind(ModelKind::kEmbed, "embed");
    std::vector<std::vector<TokenId>> tokenized;
    tokenized.reserve(inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        const std::string field = inputs.size() == 1 ? "input" : indexed("input", i);
        if (const auto *text = std::get_if<std::string>(&inputs[i])) {
            check_size(text->size(), field, "input");
            tokenized.push_back(model->tokenize(*text, /*add_special=*/true, /*parse_special=*/true));
        } else {
            tokenized.push_back(std::get<std::vector<TokenId>>(inputs[i]));
        }
        check_input(tokenized.back(), field, "input");
    }
    return prepared(std::move(tokenized));
}

PreparedEmbedding LlamaEmbedder::prepare_rerank(const std::string &query,
                                                const std::vector<std::string> &documents) const {
    const std::shared_ptr<const LlamaModel> model = loaded();
    require_kind(ModelKind::kRerank, "rerank");
    std::vector<std::vector<TokenId>> tokenized;
    tokenized.reserve(documents.size());
    for (std::size_t i = 0; i < documents.size(); ++i) {
        const std::string field = "the query with " + indexed("documents", i);
        check_size(query.size() + documents[i].size(), field, "documents");
        tokenized.push_back(rerank_prompt(*model, query, documents[i]));
        check_input(tokenized.back(), field, "documents");
    }
    return prepared(std::move(tokenized));
}

// A long text that cannot fit is not tokenized: some tokenizers recurse once per letter of a word. Twice,
// because a token may stand for text with more white space than its own.
void LlamaEmbedder::check_size(std::size_t n_bytes, const std::string &field, const char *param) const {
    const std::size_t most_that_fits = 2 * longest_token_ * static_cast<std::size_t>(info_.model.n_ctx);
    if (n_bytes > std::max(most_that_fits, kAlwaysTokenized)) {
        throw ContextLengthError(param, field + " has " + std::to_string(n_bytes) +
                                            " bytes, which cannot fit into the model's context of " +
                                            std::to_string(info_.model.n_ctx) + " tokens; shorten it");
    }
}

void LlamaEmbedder::check_input(const std::vector<TokenId> &tokens, const std::string &field,
                                const char *param) const {
    if (tokens.empty()) {
        throw ParameterError(param, field + " must have at least one token");
    }
    const auto n_ctx = static_cast<std::size_t>(info_.model.n_ctx);
    if (tokens.size() > n_ctx) {
        throw ContextLengthError(param, field + " has " + std::to_string(tokens.size()) +
                                            " tokens, but the model's context holds " +
                                            std::to_string(n_ctx) + "; shorten it");
    }
    for (const TokenId token : tokens) {
        if (token < 0 || token >= info_.model.n_vocab) {
            throw ParameterError(param, field + " must consist of token ids from 0 to " +
                                            std::to_string(info_.model.n_vocab - 1) + ", got " +
                                            std::to_string(token));
        }
    }
}

PreparedEmbedding LlamaEmbedder::prepared(std::vector<std::vector<TokenId>> inputs) const {
    if (inputs.empty()) {
        throw ParameterError(info_.kind == ModelKind::kRerank ? "documents" : "input",
                             "there must be at least one input");
    }
    auto job = std::make_unique<EmbedJob>();
    PreparedEmbedding prepared{.n_tokens = {}, .job = nullptr, .n_done = job->n_done, .embedder_id = id_};
    for (const std::vector<TokenId> &tokens : inputs) {
        prepared.n_tokens.push_back(tokens.size());
    }
    job->inputs = std::move(inputs);
    prepared.job = std::move(job);
    return prepared;
}

std::vector<TokenId> LlamaEmbedder::tokenize(std::string_view text, bool add_special,
                                             bool parse_special) const {
    return loaded()->tokenize(text, add_special, parse_special);
}

std::string LlamaEmbedder::detokenize(std::span<const TokenId> tokens, bool special) const {
    return loaded()->detokenize(tokens, special);
}

RequestId LlamaEmbedder::submit(PreparedEmbedding &prepared) {
    EmbedEngine &accepting = engine();
    if (prepared.embedder_id != id_) {
        throw ParameterError("prepared", "the request was prepared by another engine");
    }
    if (prepared.job == nullptr) {
        throw ParameterError("prepared", "the request has been submitted before; prepare a new one");
    }
    return accepting.submit(prepared.job);
}

void LlamaEmbedder::close() {
    if (!is_at_home()) {
        return;
    }
    closed_.store(true, std::memory_order_release);
    if (engine_ != nullptr) {
        engine_->close();
    }
    {
        const std::lock_guard lock(mutex_);
        model_.reset();
    }
    give_back_freed_memory();
}

} // namespace llamad
