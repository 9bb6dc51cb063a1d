// EngineConfig and SamplingParams.
#include "core/params.h"

#include "bindings.h"
#include "fields.h"

namespace py = pybind11;

namespace llamad {

namespace {

EngineConfig read_config(const py::kwargs &arguments) {
    EngineConfig config;
    FieldReader fields(arguments);
    fields.read("model_path", config.model_path);
    fields.read("n_parallel", config.n_parallel);
    fields.read("n_ctx", config.n_ctx);
    fields.read("kv_unified", config.kv_unified);
    fields.read("swa_full", config.swa_full);
    fields.read("n_batch", config.n_batch);
    fields.read("n_ubatch", config.n_ubatch);
    fields.read("itl_target_ms", config.itl_target_ms);
    fields.read("n_threads", config.n_threads);
    fields.read("n_threads_batch", config.n_threads_batch);
    fields.read_or_auto("n_gpu_layers", config.n_gpu_layers);
    fields.read("split_mode", config.split_mode);
    fields.read("tensor_split", config.tensor_split);
    fields.read("main_gpu", config.main_gpu);
    fields.read("use_mmap", config.use_mmap);
    fields.read("flash_attn", config.flash_attn);
    fields.read("backend_sampling", config.backend_sampling);
    fields.read("decode_padding", config.decode_padding);
    fields.read("cache_type_k", config.cache_type_k);
    fields.read("cache_type_v", config.cache_type_v);
    fields.read("rope_scaling", config.rope_scaling);
    fields.read("rope_scale", config.rope_scale);
    fields.read("rope_freq_base", config.rope_freq_base);
    fields.read("rope_freq_scale", config.rope_freq_scale);
    fields.read("yarn_orig_ctx", config.yarn_orig_ctx);
    fields.read("yarn_ext_factor", config.yarn_ext_factor);
    fields.read("yarn_attn_factor", config.yarn_attn_factor);
    fields.read("yarn_beta_fast", config.yarn_beta_fast);
    fields.read("yarn_beta_slow", config.yarn_beta_slow);
    fields.read("lora_adapters", config.lora_adapters);
    fields.read("chat_template", config.chat_template);
    fields.read("max_queue", config.max_queue);
    fields.read("queue_timeout_s", config.queue_timeout_s);
    fields.read("request_timeout_s", config.request_timeout_s);
    fields.read("prefix_cache_mib", config.prefix_cache_mib);
    fields.read("prefix_cache_dir", config.prefix_cache_dir);
    fields.require_all_read();
    config.validate();
    return config;
}

SamplingParams read_sampling(const py::kwargs &arguments) {
    SamplingParams params;
    FieldReader fields(arguments);
    fields.read("max_tokens", params.max_tokens);
    fields.read("min_tokens", params.min_tokens);
    fields.read("temperature", params.temperature);
    fields.read("top_k", params.top_k);
    fields.read("top_p", params.top_p);
    fields.read("min_p", params.min_p);
    fields.read("typical_p", params.typical_p);
    fields.read("repeat_penalty", params.repeat_penalty);
    fields.read("repeat_last_n", params.repeat_last_n);
    fields.read("frequency_penalty", params.frequency_penalty);
    fields.read("presence_penalty", params.presence_penalty);
    fields.read("dry_multiplier", params.dry_multiplier);
    fields.read("dry_base", params.dry_base);
    fields.read("dry_allowed_length", params.dry_allowed_length);
    fields.read("dry_penalty_last_n", params.dry_penalty_last_n);
    fields.read("dry_sequence_breakers", params.dry_sequence_breakers);
    fields.read("xtc_probability", params.xtc_probability);
    fields.read("xtc_threshold", params.xtc_threshold);
    fields.read("mirostat", params.mirostat);
    fields.read("mirostat_tau", params.mirostat_tau);
    fields.read("mirostat_eta", params.mirostat_eta);
    fields.read("logit_bias", params.logit_bias);
    fields.read("seed", params.seed);
    fields.read("grammar", params.grammar);
    fields.read("stop", params.stop);
    fields.read("ignore_eos", params.ignore_eos);
    fields.read("logprobs", params.logprobs);
    fields.read("prompt_logprobs", params.prompt_logprobs);
    fields.read("prompt_logprobs_start", params.prompt_logprobs_start);
    fields.require_all_read();
    params.validate();
    return params;
}

} // namespace

void register_params(py::module_ &module) {
    py::class_<EngineConfig>(module, "EngineConfig").def(py::init(&read_config));
    py::class_<SamplingParams>(module, "SamplingParams").def(py::init(&read_sampling));
}

} // namespace llamad
