#include "llama/llama_runner.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <thread>
#include <utility>

#include <sched.h>

#include "ggml-backend.h"

#include "core/errors.h"
#include "llama/llama_log.h"
#include "llama/llama_sampler.h"

namespace llamad {

namespace {

ggml_type cache_type(const std::string &name) {
    for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
        const char *known = ggml_type_name(static_cast<ggml_type>(type));
        if (known != nullptr && name == known) {
            return static_cast<ggml_type>(type);
        }
    }
    throw ParameterError("cache_type", "unknown cache type " + name);
}

// The processors that this process may run on: fewer than the machine's under taskset or in a cpuset.
std::int32_t available_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return std::max(1, CPU_COUNT(&set));
    }
    return std::max(1, static_cast<std::int32_t>(std::thread::hardware_concurrency()));
}

llama_context_params context_params(const EngineConfig &config, std::int32_t n_ctx) {
    llama_context_params params = llama_context_default_params();
    params.n_seq_max = static_cast<std::uint32_t>(config.n_parallel);
    params.n_ctx = static_cast<std::uint32_t>(n_ctx) * params.n_seq_max;
    params.n_batch = static_cast<std::uint32_t>(config.n_batch);
    params.n_ubatch = static_cast<std::uint32_t>(std::min(config.n_ubatch, config.n_batch));
    // At most one row of a slot wants logits: without this the compute buffer has room for n_batch
    // rows of logits, 100 MB for a vocabulary of 49k.
    params.n_outputs_max = params.n_seq_max;
    params.n_threads = config.n_threads > 0 ? config.n_threads : available_processors();
    params.n_threads_batch = config.n_threads_batch > 0 ? config.n_threads_batch : params.n_threads;
    params.flash_attn_type = config.flash_attn == "on"    ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                             : config.flash_attn == "off" ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                                                          : LLAMA_FLASH_ATTN_TYPE_AUTO;
    params.type_k = cache_type(config.cache_type_k);
    params.type_v = cache_type(config.cache_type_v);
    params.kv_unified = false;
    params.swa_full = true; // a window that has moved on cannot be trimmed back to a shared prefix
    params.no_perf = true;
    return params;
}

} // namespace

LlamaRunner::LlamaRunner(std::shared_ptr<const LlamaModel> model, const EngineConfig &config)
    : model_(std::move(model)) {
    const std::int32_t n_ctx = config.n_ctx > 0 ? config.n_ctx : llama_model_n_ctx_train(model_->get());
    if (std::int64_t{n_ctx} * config.n_parallel > std::numeric_limits<std::int32_t>::max()) {
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
               .n_ubatch = static_cast<std::int32_t>(llama_n_ubatch(context_.get()))};
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

std::span<const float> LlamaRunner::logits(std::size_t row) {
    const float *values = llama_get_logits_ith(context_.get(), static_cast<std::int32_t>(row));
    return {values, values == nullptr ? 0 : static_cast<std::size_t>(model_->n_vocab())};
}

TokenId LlamaRunner::sample(SamplerChain &chain, std::size_t row) {
    return static_cast<LlamaSamplerChain &>(chain).sample(context_.get(), static_cast<std::int32_t>(row));
}

bool LlamaRunner::trim(SlotId slot, Pos from) {
    return llama_memory_seq_rm(llama_get_memory(context_.get()), slot, from, -1);
}

} // namespace llamad
