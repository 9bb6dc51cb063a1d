// ModelRunner over a llama_context.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "llama.h"

#include "core/model_runner.h"
#include "llama/llama_model.h"
#include "llama/model_context.h"

namespace llamad {

// One KV stream per slot, unless kv_unified is asked for: attention then reads a slot's own cells only, and a
// batch of 32 decodes a third faster than over one shared buffer.
class LlamaRunner final : public ModelRunner {
  public:
    // Allocates the KV cache and the compute buffers. Throws ModelLoadError.
    LlamaRunner(std::shared_ptr<const LlamaModel> model, const EngineConfig &config);

    RunnerLimits limits() const override { return limits_; }
    DecodeStatus decode(std::span<const Row> rows) override;
    void sample(std::span<SampleTask> tasks) override;
    void rest() override;
    bool trim(SlotId slot, Pos from) override;
    bool copy(SlotId from, SlotId to) override;
    KvState save(SlotId slot) override;
    bool restore(SlotId slot, std::span<const std::byte> state) override;
    std::string_view token_bytes(TokenId token) const override { return model_->token_bytes(token); }
    bool is_end_of_generation(TokenId token) const override { return model_->is_end_of_generation(token); }
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
        std::vector<std::int8_t> wants_logits;

        llama_batch fill(std::span<const Row> rows, bool all_have_logits);
    };

    DecodeStatus decode_quietly(std::span<const Row> rows);
    void note_outputs();
    void list_logits(std::span<const SampleTask> tasks);
    void list_shortlisted(std::span<const SampleTask> tasks);
    LogitRow copy_all_logits(std::size_t row);
    bool can_trim(const EngineConfig &config);
    std::span<const std::byte> save_into(KvState &buffer, SlotId slot);

    std::shared_ptr<const LlamaModel> model_;
    RunnerLimits limits_;
    std::int32_t n_threads_ = 1;
    Rows rows_;
    std::vector<LogitRow> logits_; // scratch of sample()
    // Of the last decode, where there is a shortlist: the slots of the rows that have logits, and which of
    // these each row is.
    std::vector<SlotId> slot_of_output_;
    std::vector<std::size_t> output_of_row_;
    KvState copied_; // scratch of copy(): fresh memory costs more than the copying
    std::atomic<bool> abort_{false};
    std::unique_ptr<BackendShortlist> shortlist_; // null: llama.cpp copies all logits
    // Last: its abort callback reads abort_, and its graphs use the shortlist.
    ContextPtr context_;
};

} // namespace llamad
