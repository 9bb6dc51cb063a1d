#include "llama/model_context.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "llama.h"

#include "core/errors.h"
#include "core/host_memory.h"
#include "llama/devices.h"
#include "llama/llama_log.h"
#include "llama/lora_adapter.h"
#include "llama/processors.h"

namespace llamad {

namespace {

// Rows of a prompt whose log-probabilities are computed at once. 64 is the least at which attention on a CPU
// is efficient; each takes the room of a row of logits.
constexpr std::uint32_t kScoredRows = 64;

// Sequences of an embedding context, of which one is for the input that is computed in parts. llama.cpp has
// room for 256; a recurrent model pays for each with a state.
constexpr std::int32_t kSequences = 128;
constexpr std::int32_t kRecurrentSequences = 8;

// What llama.cpp notes of each cell of a KV cache, in the machine's memory, and also where it only simulates
// the allocation: a position, two coordinates, a shift, and a bit for each of 256 sequences.
constexpr std::uint64_t kCellRecordBytes = 48;

// What the GPUs have left for it; nothing where there are none.
std::string where(const EngineConfig &config) {
    const std::vector<ggml_backend_dev_t> devices = gpus_for(config);
    return devices.empty() ? "" : "; to be made on " + shown(devices);
}

// The records alone may be more than there is; to find that out by trying ends the process.
void check_cell_records(const EngineConfig &config, std::int32_t n_ctx) {
    const auto n_streams = static_cast<std::uint64_t>(config.kv_unified ? 1 : config.n_parallel);
    const std::uint64_t bytes = static_cast<std::uint64_t>(n_ctx) * n_streams * kCellRecordBytes;
    const HostMemory memory = host_memory();
    if (memory.total > 0 && bytes > memory.free) {
        throw ModelLoadError("cannot create a context of " + std::to_string(config.n_parallel) +
                             " slots of " + std::to_string(n_ctx) + " tokens for " + config.model_path +
                             ": what is noted of its cells alone takes " + size_text(bytes) + ", and " +
                             size_text(memory.free) + " are free; lower n_ctx or n_parallel");
    }
}

ggml_type cache_type(const std::string &name) {
    for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
        const char *known = ggml_type_name(static_cast<ggml_type>(type));
        if (known != nullptr && name == known) {
            return static_cast<ggml_type>(type);
        }
    }
    throw ParameterError("cache_type", "unknown cache type " + name);
}

llama_flash_attn_type flash_attn_type(const std::string &name) {
    return name == "on"    ? LLAMA_FLASH_ATTN_TYPE_ENABLED
           : name == "off" ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                           : LLAMA_FLASH_ATTN_TYPE_AUTO;
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

llama_context_params generation_params(const EngineConfig &config, std::int32_t n_ctx) {
    llama_context_params params = llama_context_default_params();
    params.n_seq_max = static_cast<std::uint32_t>(config.n_parallel);
    params.n_ctx = static_cast<std::uint32_t>(n_ctx) * (config.kv_unified ? 1 : params.n_seq_max);
    params.n_batch = static_cast<std::uint32_t>(config.n_batch);
    params.n_ubatch = static_cast<std::uint32_t>(std::min(config.n_ubatch, config.n_batch));
    // Without this the compute buffer has room for n_batch rows of logits, 400 MB for a vocabulary of 49k.
    params.n_outputs_max = params.n_seq_max + kScoredRows;
    params.n_threads = config.n_threads > 0 ? config.n_threads : available_processors();
    params.n_threads_batch = config.n_threads_batch > 0 ? config.n_threads_batch : params.n_threads;
    params.flash_attn_type = flash_attn_type(config.flash_attn);
    params.type_k = cache_type(config.cache_type_k);
    params.type_v = cache_type(config.cache_type_v);
    params.kv_unified = config.kv_unified;
    params.swa_full = config.swa_full;
    params.no_perf = true;
    set_rope(config, params);
    return params;
}

std::unique_ptr<BackendShortlist> make_shortlist(const LlamaModel &model, const EngineConfig &config,
                                                 std::uint32_t n_outputs) {
    const bool wanted = config.backend_sampling == "on" ||
                        (config.backend_sampling == "auto" && model.placement().output_on_gpu);
    const std::int32_t n_vocab = llama_vocab_n_tokens(model.vocab()); // known without weights, too
    if (!wanted || !BackendShortlist::suits(n_vocab)) {
        return nullptr;
    }
    return std::make_unique<BackendShortlist>(n_vocab, config.n_parallel,
                                              static_cast<std::int32_t>(n_outputs));
}

std::int32_t n_sequences(const llama_model *model) {
    const bool recurrent = llama_model_is_recurrent(model) || llama_model_is_hybrid(model);
    return recurrent ? kRecurrentSequences : kSequences;
}

ContextPtr embedding_context(const LlamaModel &model, const EmbedderConfig &config,
                             const EmbeddingLimits &limits, std::int32_t n_ubatch) {
    llama_context_params params = llama_context_default_params();
    params.embeddings = true;
    // One pool of KV cells for all sequences, and no more tokens in a call than are computed at once:
    // otherwise llama.cpp takes a sequence apart and pools what is left of it.
    params.kv_unified = true;
    params.n_seq_max = static_cast<std::uint32_t>(limits.n_seqs) + 1;
    // llama.cpp's reservation of a pooling graph only works out for a multiple of the sequences.
    params.n_ubatch =
        (static_cast<std::uint32_t>(n_ubatch) + params.n_seq_max - 1) / params.n_seq_max * params.n_seq_max;
    params.n_batch = params.n_ubatch;
    params.n_ctx = static_cast<std::uint32_t>(limits.n_ctx) + params.n_batch; // a long input, and a batch
    params.n_threads = config.n_threads > 0 ? config.n_threads : available_processors();
    params.n_threads_batch = params.n_threads;
    params.flash_attn_type = flash_attn_type(config.flash_attn);
    params.pooling_type = model.pooling() == Pooling::kNone ? LLAMA_POOLING_TYPE_MEAN
                                                            : LLAMA_POOLING_TYPE_UNSPECIFIED; // its own
    params.no_perf = true;
    HeldLog log; // it warns of a context beyond the training's, but no sequence gets that long
    const LogErrors errors;
    ContextPtr context(llama_init_from_model(model.get(), params));
    if (context == nullptr) {
        log.release();
        throw ModelLoadError("cannot create a context for inputs of " + std::to_string(limits.n_ctx) +
                             " tokens for " + config.model_path + ": " +
                             errors.text("out of memory, probably; lower n_ctx") +
                             where(config.engine_config()));
    }
    return context;
}

} // namespace

void ContextDeleter::operator()(llama_context *context) const { llama_free(context); }

GenerationContext generation_context(const LlamaModel &model, const EngineConfig &config) {
    const std::int32_t n_ctx = config.n_ctx > 0 ? config.n_ctx : llama_model_n_ctx_train(model.get());
    if (!config.kv_unified &&
        std::int64_t{n_ctx} * config.n_parallel > std::numeric_limits<std::int32_t>::max()) {
        throw ParameterError("n_ctx", "n_ctx times n_parallel must be below 2^31, got " +
                                          std::to_string(n_ctx) + " times " +
                                          std::to_string(config.n_parallel));
    }
    check_cell_records(config, n_ctx);
    llama_context_params params = generation_params(config, n_ctx);
    std::unique_ptr<BackendShortlist> shortlist = make_shortlist(model, config, params.n_outputs_max);
    if (shortlist != nullptr) {
        params.samplers = shortlist->samplers().data();
        params.n_samplers = shortlist->samplers().size();
        params.n_outputs_max_per_seq = kScoredRows + 1; // else it is one
    }
    const LogErrors errors;
    ContextPtr context(llama_init_from_model(model.get(), params));
    if (context == nullptr) {
        throw ModelLoadError("cannot create a context of " + std::to_string(config.n_parallel) +
                             " slots of " + std::to_string(n_ctx) + " tokens for " + config.model_path +
                             ": " + errors.text("out of memory, probably; lower n_ctx or n_parallel") +
                             where(config));
    }
    if (shortlist != nullptr && !shortlist->is_supported()) {
        log_warning("backend sampling is off: where the output layer is, there is no sorting");
        shortlist->detach(context.get());
        shortlist.reset();
    }
    attach(context.get(), model.adapters());
    return {.shortlist = std::move(shortlist),
            .context = std::move(context),
            .n_ctx = n_ctx,
            .n_outputs = static_cast<std::int32_t>(params.n_outputs_max),
            .n_threads = params.n_threads};
}

EmbeddingContext embedding_context(const LlamaModel &model, const EmbedderConfig &config) {
    const std::int32_t n_ctx_train = llama_model_n_ctx_train(model.get());
    EmbeddingLimits limits{.n_ctx = config.n_ctx > 0 ? std::min(config.n_ctx, n_ctx_train) : n_ctx_train,
                           .n_batch = config.n_ubatch,
                           .n_seqs = n_sequences(model.get()) - 1};
    ContextPtr context = embedding_context(model, config, limits, config.n_ubatch);
    // Only a context knows whether its model sees the whole input at once.
    limits.can_chunk = llama_get_memory(context.get()) != nullptr && llama_get_causal_attn(context.get());
    if (!limits.can_chunk && limits.n_ctx > config.n_ubatch) {
        context.reset();
        context = embedding_context(model, config, limits, limits.n_ctx);
    }
    limits.pooling = pooling_of(llama_pooling_type(context.get()));
    limits.n_out = limits.pooling == Pooling::kRank
                       ? static_cast<std::int32_t>(llama_model_n_cls_out(model.get()))
                       : llama_model_n_embd_out(model.get());
    return {.context = std::move(context), .limits = limits};
}

} // namespace llamad
