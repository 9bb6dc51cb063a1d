#include "core/params.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <sstream>
#include <string_view>
#include <utility>

#include "core/errors.h"
#include "core/logprobs.h"

namespace llamad {

namespace {

template <typename T>
[[noreturn]] void reject(const char *field, const T &value, const std::string &expected) {
    std::ostringstream message;
    message << field << " must be " << expected << ", got " << value;
    throw ParameterError(field, message.str());
}

void require_range(const char *field, std::int32_t value, std::int32_t low, std::int32_t high) {
    if (value < low || value > high) {
        const std::string upper =
            high == std::numeric_limits<std::int32_t>::max() ? " or more" : " to " + std::to_string(high);
        reject(field, value, std::to_string(low) + upper);
    }
}

void require_at_least(const char *field, std::int32_t value, std::int32_t low) {
    require_range(field, value, low, std::numeric_limits<std::int32_t>::max());
}

// `holds` is false for NaN as long as the caller writes it as comparisons that must be true.
void require(const char *field, float value, bool holds, const char *expected) {
    if (!std::isfinite(value) || !holds) {
        reject(field, value, expected);
    }
}

void require_one_of(const char *field, const std::string &value,
                    std::initializer_list<std::string_view> allowed) {
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) {
        return;
    }
    std::string names;
    for (const std::string_view name : allowed) {
        names.append(names.empty() ? "" : ", ").append(name);
    }
    reject(field, '"' + value + '"', "one of " + names);
}

void require_cache_type(const char *field, const std::string &value) {
    require_one_of(field, value, {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"});
}

} // namespace

void EngineConfig::validate() const {
    if (model_path.empty()) {
        throw ParameterError("model_path", "model_path must not be empty");
    }
    require_range("n_parallel", n_parallel, 1, kMaxParallel);
    if (n_ctx != 0) {
        require_at_least("n_ctx", n_ctx, 8);
    }
    // Decoding computes a row of every slot in one call.
    require_range("n_batch", n_batch, n_parallel, 1 << 20);
    require_range("n_ubatch", n_ubatch, 1, 1 << 20);
    require_at_least("itl_target_ms", itl_target_ms, 1);
    require_range("n_threads", n_threads, 0, 512);
    require_range("n_threads_batch", n_threads_batch, 0, 512);
    require_at_least("max_queue", max_queue, 0);
    require_one_of("flash_attn", flash_attn, {"auto", "on", "off"});
    require_one_of("backend_sampling", backend_sampling, {"auto", "on", "off"});
    require_one_of("decode_padding", decode_padding, {"auto", "on", "off"});
    require_cache_type("cache_type_k", cache_type_k);
    require_cache_type("cache_type_v", cache_type_v);
    validate_devices();
    validate_rope();
    validate_adapters();
    require("queue_timeout_s", queue_timeout_s, queue_timeout_s >= 0, "0 or more");
    require("request_timeout_s", request_timeout_s, request_timeout_s >= 0, "0 or more");
    require_at_least("prefix_cache_mib", prefix_cache_mib, -1);
    if (!prefix_cache_dir.empty() && prefix_cache_mib == 0) {
        reject("prefix_cache_dir", '"' + prefix_cache_dir + '"', "empty where prefix_cache_mib is 0");
    }
}

void EngineConfig::validate_devices() const {
    if (n_gpu_layers) {
        require_at_least("n_gpu_layers", *n_gpu_layers, -1);
    }
    require_one_of("split_mode", split_mode, {"none", "layer", "row", "tensor"});
    require_at_least("main_gpu", main_gpu, 0);
    for (const float share : tensor_split) {
        require("tensor_split", share, share >= 0, "a list of numbers of 0 or more");
    }
    if (!tensor_split.empty() && std::ranges::all_of(tensor_split, [](float share) { return share == 0; })) {
        reject("tensor_split", "nothing but zeros", "a list of shares of which one is above 0");
    }
    if (!tensor_split.empty() && split_mode == "none") {
        reject("tensor_split", std::to_string(tensor_split.size()) + " shares",
               "empty where split_mode is \"none\": nothing is split");
    }
}

void EngineConfig::validate_rope() const {
    require_one_of("rope_scaling", rope_scaling, {"", "none", "linear", "yarn"});
    require("rope_scale", rope_scale, rope_scale >= 0, "0 or more");
    require("rope_freq_base", rope_freq_base, rope_freq_base >= 0, "0 or more");
    require("rope_freq_scale", rope_freq_scale, rope_freq_scale >= 0, "0 or more");
    if (rope_scale > 0 && rope_freq_scale > 0) {
        reject("rope_freq_scale", rope_freq_scale, "0 where rope_scale is given: they say the same");
    }
    require_at_least("yarn_orig_ctx", yarn_orig_ctx, 0);
    for (const auto &[field, value] :
         {std::pair("yarn_ext_factor", yarn_ext_factor), std::pair("yarn_attn_factor", yarn_attn_factor),
          std::pair("yarn_beta_fast", yarn_beta_fast), std::pair("yarn_beta_slow", yarn_beta_slow)}) {
        require(field, value, true, "a finite number");
    }
}

void EngineConfig::validate_adapters() const {
    if (lora_adapters.size() > kMaxAdapters) {
        reject("lora_adapters", lora_adapters.size(),
               "a list of at most " + std::to_string(kMaxAdapters) + " adapters");
    }
    for (auto adapter = lora_adapters.begin(); adapter != lora_adapters.end(); ++adapter) {
        const std::string field = "lora_adapters[" + std::to_string(adapter - lora_adapters.begin()) + "]";
        if (adapter->path.empty()) {
            throw ParameterError(field, field + " must have a path that is not empty");
        }
        require((field + ".scale").c_str(), adapter->scale, true, "a finite number");
        const auto same = [&](const LoraAdapter &other) { return other.path == adapter->path; };
        if (std::any_of(lora_adapters.begin(), adapter, same)) {
            throw ParameterError(field, field + " is the file of another adapter: " + adapter->path);
        }
    }
}

void SamplingParams::validate() const {
    if (max_tokens) {
        require_at_least("max_tokens", *max_tokens, prompt_logprobs ? 0 : 1);
    }
    require_range("min_tokens", min_tokens, 0, max_tokens.value_or(std::numeric_limits<std::int32_t>::max()));
    require("temperature", temperature, temperature >= 0, "a number of 0 or more");
    require_at_least("top_k", top_k, -1);
    require("top_p", top_p, top_p > 0 && top_p <= 1, "above 0 and at most 1");
    require("min_p", min_p, min_p >= 0 && min_p <= 1, "0 to 1");
    require("typical_p", typical_p, typical_p > 0 && typical_p <= 1, "above 0 and at most 1");
    // llama.cpp divides by it: the reciprocal must be finite as well.
    require("repeat_penalty", repeat_penalty, repeat_penalty > 0 && std::isfinite(1 / repeat_penalty),
            "above 0");
    require_at_least("repeat_last_n", repeat_last_n, -1);
    require("frequency_penalty", frequency_penalty, std::abs(frequency_penalty) <= 2, "-2 to 2");
    require("presence_penalty", presence_penalty, std::abs(presence_penalty) <= 2, "-2 to 2");
    require("dry_multiplier", dry_multiplier, dry_multiplier >= 0, "0 or more");
    require("dry_base", dry_base, dry_base >= 1, "1 or more");
    require_at_least("dry_allowed_length", dry_allowed_length, 0);
    require_at_least("dry_penalty_last_n", dry_penalty_last_n, -1);
    if (dry_sequence_breakers.size() > kMaxDryBreakers) {
        reject("dry_sequence_breakers", dry_sequence_breakers.size(),
               "a list of at most " + std::to_string(kMaxDryBreakers) + " strings");
    }
    require("xtc_probability", xtc_probability, xtc_probability >= 0 && xtc_probability <= 1, "0 to 1");
    require("xtc_threshold", xtc_threshold, xtc_threshold >= 0 && xtc_threshold <= 1, "0 to 1");
    require_range("mirostat", mirostat, 0, 2);
    require("mirostat_tau", mirostat_tau, mirostat_tau >= 0, "0 or more");
    require("mirostat_eta", mirostat_eta, mirostat_eta >= 0, "0 or more");
    for (const auto &[token, bias] : logit_bias) {
        if (token < 0) {
            reject("logit_bias", token, "a mapping from token ids of 0 or more");
        }
        if (std::isnan(bias) || bias == std::numeric_limits<float>::infinity()) {
            reject("logit_bias", bias, "a mapping to finite numbers or -inf");
        }
    }
    if (logprobs) {
        require_range("logprobs", *logprobs, 0, kMaxLogprobs);
    }
    if (prompt_logprobs) {
        require_range("prompt_logprobs", *prompt_logprobs, 0, kMaxLogprobs);
        require_at_least("prompt_logprobs_start", prompt_logprobs_start, 0);
    } else if (prompt_logprobs_start != 0) {
        reject("prompt_logprobs_start", prompt_logprobs_start, "0 where prompt_logprobs are not asked for");
    }
    if (stop.size() > kMaxStopStrings) {
        reject("stop", stop.size(), "a list of at most " + std::to_string(kMaxStopStrings) + " strings");
    }
    if (std::any_of(stop.begin(), stop.end(), [](const auto &text) { return text.empty(); })) {
        throw ParameterError("stop", "stop must not contain an empty string");
    }
}

void RequestOptions::validate() const {
    require_range("n", n, 1, kMaxChoices);
    require("timeout_s", timeout_s, timeout_s >= 0, "0 or more");
}

bool SamplingParams::is_plain_greedy() const {
    const bool only_bans = std::all_of(logit_bias.begin(), logit_bias.end(), [](const auto &entry) {
        return entry.second == -std::numeric_limits<float>::infinity();
    });
    const bool penalties = repeat_penalty != 1 || frequency_penalty != 0 || presence_penalty != 0;
    // XTC and typical sampling drop the likeliest tokens even at temperature 0; mirostat has its own
    // selection. Top-k, top-p and min-p always keep the likeliest.
    return temperature <= 0 && only_bans && !(penalties && repeat_last_n != 0) && dry_multiplier == 0 &&
           typical_p == 1 && xtc_probability == 0 && mirostat == 0 && grammar.empty() && min_tokens == 0;
}

} // namespace llamad
