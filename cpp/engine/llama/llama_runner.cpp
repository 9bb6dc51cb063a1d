#include "llama/llama_runner.h"

#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <thread>
#include <utility>

#include "llama.h"

#include "llama/compute_team.h"
#include "llama/llama_log.h"
#include "llama/memory_estimate.h"
#include "llama/row_sampling.h"

namespace llamad {

namespace {

// Bytes that copy() keeps for the next time.
constexpr std::size_t kMostScratch = std::size_t{64} << 20;

// Whether what computes the logits goes on while the caller does something else.
bool computes_async(const LlamaModel &model) {
    ggml_backend_dev_props props{};
    ggml_backend_dev_get_props(model.layer_devices().back(), &props);
    return props.caps.async;
}

bool wants_padding(const LlamaModel &model, const EngineConfig &config) {
    const LayerPlacement placement = model.placement();
    return config.decode_padding == "on" ||
           (config.decode_padding == "auto" && placement.n_on_gpus == placement.n_layers);
}

// Whether the rows are the next tokens of so many slots.
bool is_of_next_tokens(std::span<const Row> rows) {
    const auto same_slot = [](const Row &a, const Row &b) { return a.slot == b.slot; };
    return std::ranges::adjacent_find(rows, same_slot) == rows.end() &&
           std::ranges::any_of(rows, &Row::wants_logits);
}

} // namespace

LlamaRunner::LlamaRunner(std::shared_ptr<const LlamaModel> model, const EngineConfig &config)
    : model_(std::move(model)) {
    GenerationContext made = generation_context(*model_, config);
    shortlist_ = std::move(made.shortlist);
    context_ = std::move(made.context);
    if (shortlist_ != nullptr && !shortlist_->allocate()) {
        log_warning("backend sampling is off: no memory left for it where the output layer is");
        shortlist_->detach(context_.get());
        shortlist_.reset();
    }
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
    limits_.decodes_async = computes_async(*model_);
    limits_.pads_decodes = wants_padding(*model_, config) && limits_.can_trim_states && !limits_.unified;
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

std::vector<MemoryUse> LlamaRunner::memory() const {
    return memory_uses(*model_, context_.get(), shortlist_.get());
}

llama_batch LlamaRunner::Rows::fill(std::span<const Row> rows, bool all_have_logits) {
    tokens.clear();
    positions.clear();
    seq_ids.clear();
    wants_logits.clear();
    for (const Row &row : rows) {
        tokens.push_back(row.token);
        positions.push_back(row.pos);
        seq_ids.push_back(row.slot);
        wants_logits.push_back(row.wants_logits || all_have_logits ? 1 : 0);
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
        // How many rows have logits is part of a graph's shape.
        const llama_batch batch = rows_.fill(rows, limits_.pads_decodes && is_of_next_tokens(rows));
        if (shortlist_ != nullptr) {
            note_outputs();
        }
        switch (llama_decode(context_.get(), batch)) {
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

void LlamaRunner::note_outputs() {
    slot_of_output_.clear();
    output_of_row_.clear();
    for (std::size_t i = 0; i < rows_.wants_logits.size(); ++i) {
        output_of_row_.push_back(slot_of_output_.size());
        if (rows_.wants_logits[i] != 0) {
            slot_of_output_.push_back(rows_.seq_ids[i]);
        }
    }
    shortlist_->expect(slot_of_output_);
}

void LlamaRunner::sample(std::span<SampleTask> tasks) {
    logits_.clear();
    if (shortlist_ == nullptr) {
        list_logits(tasks);
    } else {
        list_shortlisted(tasks);
    }
    sample_rows(tasks, logits_, n_threads_);
    for (SampleTask &task : tasks) {
        if (task.token == kUndecided && task.error.empty()) {
            sample_row(task, copy_all_logits(task.row));
        }
    }
}

void LlamaRunner::list_logits(std::span<const SampleTask> tasks) {
    for (const SampleTask &task : tasks) { // one after the other: this waits for the computation
        float *values = llama_get_logits_ith(context_.get(), static_cast<std::int32_t>(task.row));
        logits_.emplace_back(
            std::span(values, values == nullptr ? 0 : static_cast<std::size_t>(model_->n_vocab())));
    }
}

void LlamaRunner::list_shortlisted(std::span<const SampleTask> tasks) {
    shortlist_->read(context_.get(), slot_of_output_.size());
    for (const SampleTask &task : tasks) {
        const bool needs_all = task.sampler == nullptr || task.sampler->needs_all_logits();
        logits_.push_back(needs_all ? copy_all_logits(task.row) : shortlist_->row(output_of_row_[task.row]));
    }
}

// To where llama.cpp would have copied them: that memory is there, and page-locked where that is faster.
LogitRow LlamaRunner::copy_all_logits(std::size_t row) {
    const std::size_t output = output_of_row_[row];
    const auto n_vocab = static_cast<std::size_t>(model_->n_vocab());
    float *values = llama_get_logits(context_.get()) + output * n_vocab;
    shortlist_->read_all(output, values);
    return std::span(values, n_vocab);
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
