#include "llama/llama_runner.h"

#include <array>
#include <exception>
#include <new>
#include <thread>
#include <utility>

#include "llama.h"

#include "llama/compute_team.h"
#include "llama/llama_log.h"
#include "llama/row_sampling.h"

namespace llamad {

namespace {

// Bytes that copy() keeps for the next time.
constexpr std::size_t kMostScratch = std::size_t{64} << 20;

} // namespace

LlamaRunner::LlamaRunner(std::shared_ptr<const LlamaModel> model, const EngineConfig &config)
    : model_(std::move(model)) {
    GenerationContext made = generation_context(*model_, config);
    context_ = std::move(made.context);
    n_threads_ = made.n_threads;
    llama_set_abort_callback(
        context_.get(),
        [](void *flag) { return static_cast<std::atomic<bool> *>(flag)->load(std::memory_order_relaxed); },
        &abort_);
    limits_ = {.n_slots = config.n_parallel,
               .n_ctx = made.n_ctx,
               .n_batch = static_cast<std::int32_t>(llama_n_batch(context_.get())),
               .n_ubatch = static_cast<std::int32_t>(llama_n_ubatch(context_.get())),
               .n_outputs = made.n_outputs,
               .unified = config.kv_unified,
               .can_trim = can_trim(config)};
    limits_.can_trim_states = limits_.can_trim && llama_model_n_swa(model_->get()) == 0;
}

// Asks the memory itself, with two tokens: what it can do depends on the kind of model and on llama.cpp's
// version. A sliding window does not refuse, it has forgotten: without swa_full, but also in a unified cache,
// where other sequences take the cells that its last token cannot see.
bool LlamaRunner::can_trim(const EngineConfig &config) {
    if (llama_model_n_swa(model_->get()) > 0 && (!config.swa_full || config.kv_unified)) {
        return false;
    }
    const std::array<Row, 2> rows{Row{.token = 0, .pos = 0, .slot = 0, .wants_logits = false},
                                  Row{.token = 0, .pos = 1, .slot = 0, .wants_logits = true}};
    bool can = false;
    // On a thread that ends, and its team with it: see compute_team.h.
    std::thread([&] { can = decode(rows) == DecodeStatus::kOk && trim(0, 1); }).join();
    llama_memory_clear(llama_get_memory(context_.get()), /*data=*/true);
    llama_synchronize(context_.get());
    return can;
}

llama_batch LlamaRunner::Rows::fill(std::span<const Row> rows) {
    tokens.clear();
    positions.clear();
    seq_ids.clear();
    wants_logits.clear();
    for (const Row &row : rows) {
        tokens.push_back(row.token);
        positions.push_back(row.pos);
        seq_ids.push_back(row.slot);
        wants_logits.push_back(row.wants_logits ? 1 : 0);
    }
    n_seq_ids.resize(rows.size(), 1);
    seq_id_pointers.resize(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        seq_id_pointers[i] = &seq_ids[i];
    }
    return {.n_tokens = static_cast<std::int32_t>(rows.size()),
            .token = tokens.data(),
            .embd = nullptr,
            .pos = positions.data(),
            .n_seq_id = n_seq_ids.data(),
            .seq_id = seq_id_pointers.data(),
            .logits = wants_logits.data()};
}

DecodeStatus LlamaRunner::decode(std::span<const Row> rows) {
    HeldLog log;
    const DecodeStatus status = decode_quietly(rows);
    if (status == DecodeStatus::kFailed) {
        log.release();
    }
    return status;
}

DecodeStatus LlamaRunner::decode_quietly(std::span<const Row> rows) {
    try {
        switch (llama_decode(context_.get(), rows_.fill(rows))) {
        case 0:
            return DecodeStatus::kOk;
        case 1:
            return DecodeStatus::kNoRoom;
        case 2:
            return DecodeStatus::kAborted;
        default:
            return DecodeStatus::kFailed;
        }
    } catch (const std::exception &) { // reserving buffers in mid-flight throws
        return DecodeStatus::kFailed;
    }
}

void LlamaRunner::sample(std::span<SampleTask> tasks) {
    logits_.clear();
    for (const SampleTask &task : tasks) { // one after the other: this waits for the computation
        float *values = llama_get_logits_ith(context_.get(), static_cast<std::int32_t>(task.row));
        logits_.emplace_back(values, values == nullptr ? 0 : static_cast<std::size_t>(model_->n_vocab()));
    }
    sample_rows(tasks, logits_, n_threads_);
}

void LlamaRunner::rest() { end_compute_team(); }

bool LlamaRunner::trim(SlotId slot, Pos from) {
    return llama_memory_seq_rm(llama_get_memory(context_.get()), slot, from, -1);
}

// Between two streams llama_memory_seq_cp copies all n_ctx cells, and later, at the next decode, when the
// source may hold something else already. A state holds only the cells in use, and is copied now.
bool LlamaRunner::copy(SlotId from, SlotId to) {
    if (limits_.unified) {
        llama_memory_seq_cp(llama_get_memory(context_.get()), from, to, -1, -1);
        return true;
    }
    const std::span<const std::byte> state = save_into(copied_, from);
    const bool copied = !state.empty() && restore(to, state);
    if (copied_.size > kMostScratch) {
        copied_ = {};
    }
    return copied;
}

KvState LlamaRunner::save(SlotId slot) {
    KvState state;
    state.size = save_into(state, slot).size();
    return state;
}

// The buffer grows as needed; the bytes in use are returned, none where there is no memory for them.
std::span<const std::byte> LlamaRunner::save_into(KvState &buffer, SlotId slot) {
    const std::size_t size = llama_state_seq_get_size(context_.get(), slot);
    if (buffer.size < size) {
        try {
            buffer = {.data = std::make_unique_for_overwrite<std::byte[]>(size), .size = size};
        } catch (const std::bad_alloc &) { // then it is computed again when it is needed
            return {};
        }
    }
    const std::size_t n_written = llama_state_seq_get_data(
        context_.get(), reinterpret_cast<std::uint8_t *>(buffer.data.get()), size, slot);
    return buffer.bytes().first(n_written);
}

bool LlamaRunner::restore(SlotId slot, std::span<const std::byte> state) {
    const HeldLog log;
    const auto *bytes = reinterpret_cast<const std::uint8_t *>(state.data());
    if (llama_state_seq_set_data(context_.get(), bytes, state.size(), slot) > 0) {
        return true;
    }
    trim(slot, 0);
    return false;
}

} // namespace llamad
