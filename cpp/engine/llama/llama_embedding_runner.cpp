#include "llama/llama_embedding_runner.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "core/errors.h"
#include "llama/llama_log.h"
#include "llama/processors.h"

namespace llamad {

namespace {

// Sequences of a context, of which one is for the input that is computed in parts. llama.cpp has room for
// 256; a recurrent model pays for each with a state.
constexpr std::int32_t kSequences = 128;
constexpr std::int32_t kRecurrentSequences = 8;

// The sequence of the input that is computed in parts; it outlives the batches in between.
constexpr llama_seq_id kLongSequence = 0;

llama_seq_id sequence_of(std::size_t piece, bool whole) {
    return whole ? static_cast<llama_seq_id>(piece) + 1 : kLongSequence;
}

std::int32_t n_sequences(const llama_model *model) {
    const bool recurrent = llama_model_is_recurrent(model) || llama_model_is_hybrid(model);
    return recurrent ? kRecurrentSequences : kSequences;
}

llama_flash_attn_type flash_attn_type(const std::string &name) {
    return name == "on"    ? LLAMA_FLASH_ATTN_TYPE_ENABLED
           : name == "off" ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                           : LLAMA_FLASH_ATTN_TYPE_AUTO;
}

} // namespace

LlamaEmbeddingRunner::LlamaEmbeddingRunner(std::shared_ptr<const LlamaModel> model,
                                           const EmbedderConfig &config)
    : model_(std::move(model)) {
    const std::int32_t n_ctx_train = llama_model_n_ctx_train(model_->get());
    limits_.n_ctx = config.n_ctx > 0 ? std::min(config.n_ctx, n_ctx_train) : n_ctx_train;
    limits_.n_batch = config.n_ubatch;
    limits_.n_seqs = n_sequences(model_->get()) - 1;
    create_context(config, config.n_ubatch);
    // Only a context knows whether its model sees the whole input at once.
    limits_.can_chunk = llama_get_memory(context_.get()) != nullptr && llama_get_causal_attn(context_.get());
    if (!limits_.can_chunk && limits_.n_ctx > config.n_ubatch) {
        create_context(config, limits_.n_ctx);
    }
    limits_.pooling = pooling_of(llama_pooling_type(context_.get()));
    limits_.n_out = limits_.pooling == Pooling::kRank
                        ? static_cast<std::int32_t>(llama_model_n_cls_out(model_->get()))
                        : llama_model_n_embd_out(model_->get());
}

void LlamaEmbeddingRunner::create_context(const EmbedderConfig &config, std::int32_t n_ubatch) {
    context_.reset();
    llama_context_params params = llama_context_default_params();
    params.embeddings = true;
    // One pool of KV cells for all sequences, and no more tokens in a call than are computed at once:
    // otherwise llama.cpp takes a sequence apart and pools what is left of it.
    params.kv_unified = true;
    params.n_seq_max = static_cast<std::uint32_t>(limits_.n_seqs) + 1;
    // llama.cpp's reservation of a pooling graph only works out for a multiple of the sequences.
    params.n_ubatch =
        (static_cast<std::uint32_t>(n_ubatch) + params.n_seq_max - 1) / params.n_seq_max * params.n_seq_max;
    params.n_batch = params.n_ubatch;
    params.n_ctx = static_cast<std::uint32_t>(limits_.n_ctx) + params.n_batch; // a long input, and a batch
    params.n_threads = config.n_threads > 0 ? config.n_threads : available_processors();
    params.n_threads_batch = params.n_threads;
    params.flash_attn_type = flash_attn_type(config.flash_attn);
    params.pooling_type = model_->pooling() == Pooling::kNone ? LLAMA_POOLING_TYPE_MEAN
                                                              : LLAMA_POOLING_TYPE_UNSPECIFIED; // its own
    params.no_perf = true;
    HeldLog log; // it warns of a context beyond the training's, but no sequence gets that long
    const LogErrors errors;
    context_.reset(llama_init_from_model(model_->get(), params));
    if (context_ == nullptr) {
        log.release();
        throw ModelLoadError("cannot create a context for inputs of " + std::to_string(limits_.n_ctx) +
                             " tokens for " + config.model_path + ": " +
                             errors.text("out of memory, probably; lower n_ctx"));
    }
    llama_set_abort_callback(
        context_.get(),
        [](void *flag) { return static_cast<std::atomic<bool> *>(flag)->load(std::memory_order_relaxed); },
        &abort_);
}

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
