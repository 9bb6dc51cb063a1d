// EmbeddingRunner over a llama_context.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "llama.h"

#include "embed/embedder_config.h"
#include "embed/embedding_runner.h"
#include "llama/llama_model.h"
#include "llama/model_context.h"

namespace llamad {

// Models that see the whole input at once have to compute it in one go. The others compute a long input in
// parts, through the KV cache.
class LlamaEmbeddingRunner final : public EmbeddingRunner {
  public:
    // Allocates the compute buffers and, where the model needs one, the KV cache. Throws ModelLoadError.
    LlamaEmbeddingRunner(std::shared_ptr<const LlamaModel> model, const EmbedderConfig &config);

    EmbeddingLimits limits() const override { return limits_; }
    EncodeStatus encode(std::span<const Piece> pieces) override;
    void rest() override;
    std::span<const float> pooled(std::size_t piece) override { return pooled_[piece]; }
    std::vector<MemoryUse> memory() const; // what the model takes of each device, "CPU" first
    void request_abort() override { abort_.store(true, std::memory_order_relaxed); }

  private:
    // llama_batch is a struct of arrays; these are the arrays, kept between calls.
    struct Rows {
        std::vector<llama_token> tokens;
        std::vector<llama_pos> positions;
        std::vector<std::int32_t> n_seq_ids;
        std::vector<llama_seq_id> seq_ids;
        std::vector<llama_seq_id *> seq_id_pointers;
        std::vector<std::int8_t> wants_output;

        llama_batch fill(std::span<const Piece> pieces);
    };

    void forget(const Piece &first);
    EncodeStatus encode_quietly(std::span<const Piece> pieces);

    std::shared_ptr<const LlamaModel> model_;
    EmbeddingLimits limits_;
    Rows rows_;
    std::vector<std::span<const float>> pooled_;
    std::atomic<bool> abort_{false};
    ContextPtr context_; // last: its abort callback reads abort_
};

} // namespace llamad
