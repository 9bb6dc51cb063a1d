#include "llama/llama_runner.h"

#include <algorithm>
#include <array>
#include <exception>
#include <limits>
#include <new>
#include <thread>
#include <utility>

#include "ggml-backend.h"

#include "core/errors.h"
#include "llama/llama_log.h"
#include "llama/processors.h"
#include "llama/row_sampling.h"

namespace llamad {

namespace {

// Rows of a prompt whose log-probabilities are computed at once. 64 is the least at which attention on a CPU
// is efficient; each takes the room of a row of logits.
constexpr std::uint32_t kScoredRows = 64;

// Bytes that copy() keeps for the next time.
constexpr std::size_t kMostScratch = std::size_t{64} << 20;

ggml_type cache_type(const std::string &name) {
    for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
        const char *known = ggml_type_name(static_cast<ggml_type>(type));
        if (known != nullptr && name == known) {
            return static_cast<ggml_type>(type);
        }
    }
    throw ParameterError("cache_type", "unknown cache type " + name);
}

void set_rope(const EngineConfig &config, llama_context_params &params) {
    if (!config.rope_scaling.empty()) {
        params.rope_scaling_type = config.rope_scaling == "none"     ? LLAMA_ROPE_SCALING_TYPE_NONE
                                   : config.rope_scaling == "linear" ? LLAMA_ROPE_SCALING_TYPE_LINEAR
                                                                     : LLAMA_ROPE_SCALING_TYPE_YARN;
    }
    params.rope_freq_base = config.rope_freq_base;
    params.rope_freq_scale = config.rope_scale > 0 ? 1 / config.rope_scale : config.rope_freq_scale;
    params.yarn_orig_ctx = static_cast<std::uint32_t>(config.yarn_orig_ctx);
    params.yarn_ext_factor = config.yarn_ext_factor;
    params.yarn_attn_factor = config.yarn_attn_factor;
    params.yarn_beta_fast = config.yarn_beta_fast;
    params.yarn_beta_slow = config.yarn_beta_slow;
}

llama_context_params context_params(const EngineConfig &config, std::int32_t n_ctx) {
    llama_context_params params = llama_context_default_params();
    params.n_seq_max = static_cast<std::uint32_t>(config.n_parallel);
    params.n_ctx = static_cast<std::uint32_t>(n_ctx) * (config.kv_unified ? 1 : params.n_seq_max);
    params.n_batch = static_cast<std::uint32_t>(config.n_batch);
    params.n_ubatch = static_cast<std::uint32_t>(std::min(config.n_ubatch, config.n_batch));
    // Without this the compute buffer has room for n_batch rows of logits, 400 MB for a vocabulary of 49k.
    params.n_outputs_max = params.n_seq_max + kScoredRows;
    params.n_threads = config.n_threads > 0 ? config.n_threads : available_processors();
    params.n_threads_batch = config.n_threads_batch > 0 ? config.n_threads_batch : params.n_threads;
    params.flash_attn_type = config.flash_attn == "on"    ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                             : config.flash_attn == "off" ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                                                          : LLAMA_FLASH_ATTN_TYPE_AUTO;
    params.type_k = cache_type(config.cache_type_k);
    params.type_v = cache_type(config.cache_type_v);
    params.kv_unified = config.kv_unified;
    params.swa_full = config.swa_full;
    params.no_perf = true;
    set_rope(config, params);
    return params;
}

} // namespace

LlamaRunner::LlamaRunner(std::shared_ptr<const LlamaModel> model, const EngineConfig &config)
    : model_(std::move(model)) {
    const std::int32_t n_ctx = config.n_ctx > 0 ? config.n_ctx : llama_model_n_ctx_train(model_->get());
    if (!config.kv_unified &&
        std::int64_t{n_ctx} * config.n_parallel > std::numeric_limits<std::int32_t>::max()) {
        throw ParameterError("n_ctx", "n_ctx times n_parallel must be below 2^31, got " +
                                          std::to_string(n_ctx) + " times " +
                                          std::to_string(config.n_parallel));
    }
    const llama_context_params params = context_params(config, n_ctx);
    const LogErrors errors;
    context_.reset(llama_init_from_model(model_->get(), params));
    if (context_ == nullptr) {
        throw ModelLoadError("cannot create a context of " + std::to_string(config.n_parallel) +
                             " slots of " + std::to_string(n_ctx) + " tokens for " + config.model_path +
                             ": " + errors.text("out of memory, probably; lower n_ctx or n_parallel"));
    }
    llama_set_abort_callback(
        context_.get(),
        [](void *flag) { return static_cast<std::atomic<bool> *>(flag)->load(std::memory_order_relaxed); },
        &abort_);
    // n_ctx is what was asked for: llama.cpp rounds its streams up to multiples of 256.
    limits_ = {.n_slots = config.n_parallel,
               .n_ctx = n_ctx,
               .n_batch = static_cast<std::int32_t>(llama_n_batch(context_.get())),
               .n_ubatch = static_cast<std::int32_t>(llama_n_ubatch(context_.get())),
               .n_outputs = static_cast<std::int32_t>(params.n_outputs_max),
               .unified = config.kv_unified,
               .can_trim = can_trim(config)};
    limits_.can_trim_states = limits_.can_trim && llama_model_n_swa(model_->get()) == 0;
    n_threads_ = params.n_threads;
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
    // On a thread that ends: OpenMP keeps a team for each thread that has computed, and where there are more
    // teams than processors their workers sleep between any two operations, at twice the time per token.
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
