#include "llama/llama_embedding_runner.h"

#include <exception>
#include <utility>

#include "llama/compute_team.h"
#include "llama/llama_log.h"
#include "llama/memory_estimate.h"

namespace llamad {

namespace {

// The sequence of the input that is computed in parts; it outlives the batches in between.
constexpr llama_seq_id kLongSequence = 0;

llama_seq_id sequence_of(std::size_t piece, bool whole) {
    return whole ? static_cast<llama_seq_id>(piece) + 1 : kLongSequence;
}

} // namespace

LlamaEmbeddingRunner::LlamaEmbeddingRunner(std::shared_ptr<const LlamaModel> model,
                                           const EmbedderConfig &config)
    : model_(std::move(model)) {
    EmbeddingContext made = embedding_context(*model_, config);
    context_ = std::move(made.context);
    limits_ = made.limits;
    llama_set_abort_callback(
        context_.get(),
        [](void *flag) { return static_cast<std::atomic<bool> *>(flag)->load(std::memory_order_relaxed); },
        &abort_);
}

std::vector<MemoryUse> LlamaEmbeddingRunner::memory() const { return memory_uses(*model_, context_.get()); }

llama_batch LlamaEmbeddingRunner::Rows::fill(std::span<const Piece> pieces) {
    tokens.clear();
    positions.clear();
    seq_ids.clear();
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        const Piece &piece = pieces[i];
        tokens.insert(tokens.end(), piece.tokens.begin(), piece.tokens.end());
        seq_ids.insert(seq_ids.end(), piece.tokens.size(), sequence_of(i, piece.whole));
        for (std::size_t k = 0; k < piece.tokens.size(); ++k) {
            positions.push_back(piece.begin + static_cast<llama_pos>(k));
        }
    }
    n_seq_ids.assign(tokens.size(), 1);
    wants_output.assign(tokens.size(), 1); // pooling takes all tokens
    seq_id_pointers.resize(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        seq_id_pointers[i] = &seq_ids[i];
    }
    return {.n_tokens = static_cast<std::int32_t>(tokens.size()),
            .token = tokens.data(),
            .embd = nullptr,
            .pos = positions.data(),
            .n_seq_id = n_seq_ids.data(),
            .seq_id = seq_id_pointers.data(),
            .logits = wants_output.data()};
}

// Empties the sequences that the last batch has left, and where a long input begins that of the one before.
void LlamaEmbeddingRunner::forget(const Piece &first) {
    llama_memory_t memory = llama_get_memory(context_.get());
    if (memory == nullptr) {
        return;
    }
    for (llama_seq_id id = kLongSequence + 1; id <= limits_.n_seqs; ++id) {
        llama_memory_seq_rm(memory, id, -1, -1);
    }
    if (!first.whole && first.begin == 0) {
        llama_memory_seq_rm(memory, kLongSequence, -1, -1);
    }
}

void LlamaEmbeddingRunner::rest() { end_compute_team(); }

EncodeStatus LlamaEmbeddingRunner::encode(std::span<const Piece> pieces) {
    HeldLog log;
    const EncodeStatus status = encode_quietly(pieces);
    if (status == EncodeStatus::kFailed) {
        log.release();
    }
    return status;
}

EncodeStatus LlamaEmbeddingRunner::encode_quietly(std::span<const Piece> pieces) {
    pooled_.clear();
    try {
        forget(pieces.front());
        const int result =
            llama_decode(context_.get(), rows_.fill(pieces)); // encodes where there is no memory
        if (result != 0) {
            return result == 2 ? EncodeStatus::kAborted : EncodeStatus::kFailed;
        }
        for (std::size_t i = 0; i < pieces.size(); ++i) {
            const float *values = llama_get_embeddings_seq(context_.get(), sequence_of(i, pieces[i].whole));
            if (values == nullptr) {
                return EncodeStatus::kFailed;
            }
            pooled_.emplace_back(values, static_cast<std::size_t>(limits_.n_out));
        }
    } catch (const std::exception &) { // reserving buffers in mid-flight throws
        return EncodeStatus::kFailed;
    }
    return EncodeStatus::kOk;
}

} // namespace llamad
