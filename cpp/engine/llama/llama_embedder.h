// A loaded model with its embedding engine: what the bindings expose.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/home_process.h"
#include "embed/embed_engine.h"
#include "embed/embedder_config.h"
#include "llama/llama_model.h"

namespace llamad {

// Text, or tokens that are taken as they are.
using EmbedInput = std::variant<std::string, std::vector<TokenId>>;

// A job that is tokenized and checked; an embedder accepts it once.
struct PreparedEmbedding {
    std::vector<std::size_t> n_tokens;                      // of each input
    std::unique_ptr<EmbedJob> job;                          // null once accepted
    std::shared_ptr<const std::atomic<std::size_t>> n_done; // inputs computed so far
    std::uint64_t embedder_id; // of the one that prepared it; its address may have been reused
};

struct EmbedderInfo {
    ModelInfo model; // its n_ctx: tokens of the longest input
    ModelKind kind = ModelKind::kEmbed;
    Pooling pooling = Pooling::kMean;
    std::int32_t n_out = 0; // floats for each input: the embedding's length, or the number of scores
};

// Threading: every method may be called from any thread. Preparing takes milliseconds and runs on the
// caller's thread; submit() and cancel() never wait. close() joins the engine thread. In a process that was
// forked off it is closed: methods throw EngineClosedError, close() does nothing, and it must not be
// destroyed.
class LlamaEmbedder {
  public:
    // Blocks while the model is read. Throws ParameterError or ModelError.
    LlamaEmbedder(const EmbedderConfig &config, const LlamaModel::Progress &progress);
    LlamaEmbedder(const LlamaEmbedder &) = delete;
    LlamaEmbedder &operator=(const LlamaEmbedder &) = delete;
    ~LlamaEmbedder() { close(); }

    const EmbedderInfo &info() const { return info_; }
    bool is_at_home() const { return home_.is_here(); }
    bool closed() const { return !is_at_home() || closed_.load(std::memory_order_acquire); }

    // These throw RequestError, which blames "input", "query" or "documents", where the inputs cannot be
    // computed, and EngineClosedError when closed.
    PreparedEmbedding prepare(const std::vector<EmbedInput> &inputs) const;
    PreparedEmbedding prepare_rerank(const std::string &query,
                                     const std::vector<std::string> &documents) const;
    std::vector<TokenId> tokenize(std::string_view text, bool add_special, bool parse_special) const;
    std::string detokenize(std::span<const TokenId> tokens, bool special) const;

    // Returns the job's id. Throws QueueFullError, after which `prepared` may be submitted again,
    // EngineClosedError, or ParameterError where another embedder prepared it or it has been accepted before.
    RequestId submit(PreparedEmbedding &prepared);
    void cancel(RequestId id) { engine().cancel(id); }

    Outbox<EmbedEnd> &events() { return engine().events(); }
    const EmbedMetrics &metrics() const { return engine().metrics(); }
    // See EmbedEngine; neither takes a lock.
    std::uint64_t n_rejected() const { return engine().n_rejected(); }
    double silent_s() const { return engine().silent_s(); }

    // Ends every job with an error event, then frees the model. Idempotent.
    void close();

  private:
    EmbedEngine &engine() const {
        home_.require_here();
        return *engine_;
    }
    // Keeps the model alive while the caller works with it, also if close() comes in between.
    std::shared_ptr<const LlamaModel> loaded() const;
    void require_kind(ModelKind kind, const char *task) const;
    void check_size(std::size_t n_bytes, const std::string &field, const char *param) const;
    void check_input(const std::vector<TokenId> &tokens, const std::string &field, const char *param) const;
    PreparedEmbedding prepared(std::vector<std::vector<TokenId>> inputs) const;

    const HomeProcess home_;
    const std::uint64_t id_; // unique in this process
    EmbedderInfo info_;
    std::size_t longest_token_ = 1;       // bytes
    std::unique_ptr<EmbedEngine> engine_; // kept after close(): its events are still to be drained
    std::atomic<bool> closed_{false};
    mutable std::mutex mutex_; // guards model_
    std::shared_ptr<const LlamaModel> model_;
};

} // namespace llamad
