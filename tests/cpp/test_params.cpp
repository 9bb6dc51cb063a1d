#include <functional>
#include <initializer_list>
#include <limits>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "check.h"

#include "core/errors.h"
#include "core/params.h"

using namespace llamad;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::int32_t kMax = std::numeric_limits<std::int32_t>::max();

template <typename Params> Params valid() { return {}; }
template <> EngineConfig valid<EngineConfig>() {
    EngineConfig config;
    config.model_path = "model.gguf";
    return config;
}

// What validate() says about `params`: the parameter it blames and its message, or nothing.
template <typename Params> std::pair<std::string, std::string> complaint(const Params &params) {
    try {
        params.validate();
    } catch (const ParameterError &error) {
        return {error.param, error.what()};
    }
    return {};
}

template <typename Params, typename Value>
void check_limits(const char *name, Value Params::*field,
                  std::initializer_list<std::type_identity_t<Value>> allowed,
                  std::initializer_list<std::type_identity_t<Value>> refused) {
    auto params = valid<Params>();
    for (const Value &value : allowed) {
        params.*field = value;
        CHECK_EQ(complaint(params).second, "");
    }
    for (const Value &value : refused) {
        params.*field = value;
        std::ostringstream shown;
        shown << value;
        const auto [blamed, message] = complaint(params);
        CHECK_EQ(blamed, name);
        CHECK(message.starts_with(std::string(name) + " must "));
        CHECK(message.find(", got ") != std::string::npos);
        CHECK(message.find(shown.str()) != std::string::npos);
    }
}

} // namespace

TEST("the defaults are valid") {
    CHECK_EQ(complaint(valid<EngineConfig>()).second, "");
    CHECK_EQ(complaint(SamplingParams{}).second, "");
    CHECK_EQ(complaint(RequestOptions{}).second, "");
}

TEST("an engine needs a model") { CHECK_EQ(complaint(EngineConfig{}).first, "model_path"); }

TEST("limits of the engine's numbers") {
    check_limits("n_parallel", &EngineConfig::n_parallel, {1, kMaxParallel}, {0, -1, kMaxParallel + 1});
    check_limits("n_ctx", &EngineConfig::n_ctx, {0, 8, kMax}, {-1, 1, 7});
    check_limits("n_batch", &EngineConfig::n_batch, {4, 1 << 20}, {0, 3, (1 << 20) + 1});
    check_limits("n_ubatch", &EngineConfig::n_ubatch, {1, 1 << 20}, {0, -1, (1 << 20) + 1});
    check_limits("itl_target_ms", &EngineConfig::itl_target_ms, {1, kMax}, {0, -1});
    check_limits("n_threads", &EngineConfig::n_threads, {0, 512}, {-1, 513});
    check_limits("n_threads_batch", &EngineConfig::n_threads_batch, {0, 512}, {-1, 513});
    check_limits("main_gpu", &EngineConfig::main_gpu, {0, 7}, {-1});
    check_limits("max_queue", &EngineConfig::max_queue, {0, kMax}, {-1});
    check_limits("queue_timeout_s", &EngineConfig::queue_timeout_s, {0.0F, 0.5F}, {-1.0F, kNan, kInf});
    check_limits("request_timeout_s", &EngineConfig::request_timeout_s, {0.0F, 60.0F}, {-1.0F, kNan, kInf});
    check_limits("prefix_cache_mib", &EngineConfig::prefix_cache_mib, {-1, 0, kMax}, {-2});
}

TEST("devices: layers, shares and how they are split") {
    const auto blamed = [](auto change) {
        auto config = valid<EngineConfig>();
        change(config);
        return complaint(config).first;
    };
    for (const std::int32_t n_layers : {-1, 0, 1, kMax}) {
        CHECK_EQ(blamed([&](EngineConfig &config) { config.n_gpu_layers = n_layers; }), "");
    }
    CHECK_EQ(blamed([](EngineConfig &config) { config.n_gpu_layers = -2; }), "n_gpu_layers");
    for (const char *mode : {"none", "layer", "row", "tensor"}) {
        CHECK_EQ(blamed([&](EngineConfig &config) { config.split_mode = mode; }), "");
    }
    CHECK_EQ(blamed([](EngineConfig &config) { config.split_mode = "columns"; }), "split_mode");
    const auto blamed_of = [&](std::vector<float> shares, const char *mode = "layer") {
        return blamed([&](EngineConfig &config) {
            config.tensor_split = std::move(shares);
            config.split_mode = mode;
        });
    };
    CHECK_EQ(blamed_of({3, 0, 1}), "");
    CHECK_EQ(blamed_of({1, -1}), "tensor_split");
    CHECK_EQ(blamed_of({1, kNan}), "tensor_split");
    CHECK_EQ(blamed_of({kInf}), "tensor_split");
    CHECK_EQ(blamed_of({0, 0}), "tensor_split");
    CHECK_EQ(blamed_of({1, 1}, "none"), "tensor_split");
}

TEST("limits of rope's numbers") {
    check_limits("rope_scale", &EngineConfig::rope_scale, {0.0F, 4.0F}, {-1.0F, kNan, kInf});
    check_limits("rope_freq_base", &EngineConfig::rope_freq_base, {0.0F, 1e6F}, {-1.0F, kNan, kInf});
    check_limits("rope_freq_scale", &EngineConfig::rope_freq_scale, {0.0F, 0.25F}, {-1.0F, kNan, kInf});
    check_limits("yarn_orig_ctx", &EngineConfig::yarn_orig_ctx, {0, 4096}, {-1});
    check_limits("yarn_ext_factor", &EngineConfig::yarn_ext_factor, {-1.0F, 0.0F, 1.0F}, {kNan, kInf});
    check_limits("yarn_attn_factor", &EngineConfig::yarn_attn_factor, {-1.0F, 1.0F}, {kNan, kInf});
    check_limits("yarn_beta_fast", &EngineConfig::yarn_beta_fast, {-1.0F, 32.0F}, {kNan, kInf});
    check_limits("yarn_beta_slow", &EngineConfig::yarn_beta_slow, {-1.0F, 1.0F}, {kNan, kInf});
    EngineConfig twice = valid<EngineConfig>();
    twice.rope_scale = 4;
    twice.rope_freq_scale = 0.25F;
    CHECK_EQ(complaint(twice).first, "rope_freq_scale");
}

TEST("a directory for states is of no use without a store") {
    EngineConfig config = valid<EngineConfig>();
    config.prefix_cache_dir = "states";
    CHECK_EQ(complaint(config).second, "");
    config.prefix_cache_mib = 0;
    CHECK_EQ(complaint(config).first, "prefix_cache_dir");
}

TEST("limits of a request's place among others") {
    check_limits("n", &RequestOptions::n, {1, kMaxChoices}, {0, -1, kMaxChoices + 1});
    check_limits("timeout_s", &RequestOptions::timeout_s, {0.0F, 0.1F}, {-0.1F, kNan, kInf});
}

TEST("a batch has room for a row of every slot") {
    EngineConfig config = valid<EngineConfig>();
    config.n_parallel = 16;
    config.n_batch = 16;
    CHECK_EQ(complaint(config).second, "");
    config.n_batch = 15;
    CHECK_EQ(complaint(config).first, "n_batch");
}

TEST("names the engine knows") {
    check_limits("flash_attn", &EngineConfig::flash_attn, {"auto", "on", "off"}, {"", "On", "true"});
    check_limits("backend_sampling", &EngineConfig::backend_sampling, {"auto", "on", "off"}, {"", "gpu"});
    check_limits("decode_padding", &EngineConfig::decode_padding, {"auto", "on", "off"}, {"", "true"});
    check_limits("rope_scaling", &EngineConfig::rope_scaling, {"", "none", "linear", "yarn"}, {"longrope"});
    check_limits("cache_type_k", &EngineConfig::cache_type_k, {"f32", "f16", "bf16", "q8_0"},
                 {"", "f64", "q6_K"});
    check_limits("cache_type_v", &EngineConfig::cache_type_v, {"f16", "q4_0", "iq4_nl"}, {"F16", "int8"});
}

TEST("limits of sampling numbers") {
    check_limits("temperature", &SamplingParams::temperature, {0.0F, 2.0F, 100.0F}, {-0.1F, kNan, kInf});
    check_limits("top_k", &SamplingParams::top_k, {-1, 0, 1, kMax}, {-2});
    check_limits("top_p", &SamplingParams::top_p, {0.001F, 1.0F}, {0.0F, -0.5F, 1.01F, kNan});
    check_limits("min_p", &SamplingParams::min_p, {0.0F, 1.0F}, {-0.01F, 1.01F, kNan});
    check_limits("typical_p", &SamplingParams::typical_p, {0.001F, 1.0F}, {0.0F, 1.01F, kNan});
    check_limits("repeat_penalty", &SamplingParams::repeat_penalty, {0.5F, 1.0F, 2.0F},
                 {0.0F, -1.0F, 1e-45F, kNan, kInf});
    check_limits("repeat_last_n", &SamplingParams::repeat_last_n, {-1, 0, kMax}, {-2});
    check_limits("frequency_penalty", &SamplingParams::frequency_penalty, {-2.0F, 2.0F},
                 {-2.1F, 2.1F, kNan, kInf});
    check_limits("presence_penalty", &SamplingParams::presence_penalty, {-2.0F, 2.0F},
                 {-2.1F, 2.1F, kNan, -kInf});
    check_limits("dry_multiplier", &SamplingParams::dry_multiplier, {0.0F, 3.0F}, {-0.1F, kNan, kInf});
    check_limits("dry_base", &SamplingParams::dry_base, {1.0F, 4.0F}, {0.9F, kNan, kInf});
    check_limits("dry_allowed_length", &SamplingParams::dry_allowed_length, {0, 9}, {-1});
    check_limits("dry_penalty_last_n", &SamplingParams::dry_penalty_last_n, {-1, 0}, {-2});
    check_limits("xtc_probability", &SamplingParams::xtc_probability, {0.0F, 1.0F}, {-0.1F, 1.1F, kNan});
    check_limits("xtc_threshold", &SamplingParams::xtc_threshold, {0.0F, 1.0F}, {-0.1F, 1.1F, kNan});
    check_limits("mirostat", &SamplingParams::mirostat, {0, 1, 2}, {-1, 3});
    check_limits("mirostat_tau", &SamplingParams::mirostat_tau, {0.0F, 5.0F}, {-0.1F, kNan, kInf});
    check_limits("mirostat_eta", &SamplingParams::mirostat_eta, {0.0F, 1.0F}, {-0.1F, kNan, kInf});
}

TEST("max_tokens is at least 1 where given") {
    SamplingParams params;
    params.max_tokens = 1;
    CHECK_EQ(complaint(params).second, "");
    params.max_tokens = 0;
    CHECK_EQ(complaint(params).first, "max_tokens");
    CHECK(complaint(params).second.ends_with("got 0"));
}

TEST("logprobs are of 0 to 20 tokens where asked for") {
    SamplingParams params;
    for (const std::int32_t allowed : {0, 20}) {
        params.logprobs = allowed;
        CHECK_EQ(complaint(params).second, "");
    }
    for (const std::int32_t refused : {-1, 21}) {
        params.logprobs = refused;
        CHECK_EQ(complaint(params).first, "logprobs");
    }
}

TEST("where the prompt's logprobs begin is said only where they are asked for") {
    SamplingParams params;
    params.prompt_logprobs_start = 3;
    CHECK_EQ(complaint(params).first, "prompt_logprobs_start");
    params.prompt_logprobs = 0;
    CHECK_EQ(complaint(params).first, "");
    params.prompt_logprobs_start = -1;
    CHECK_EQ(complaint(params).first, "prompt_logprobs_start");
}

TEST("a bias is for a token and at most finite") {
    SamplingParams params;
    params.logit_bias = {{0, -kInf}, {7, 2.5F}};
    CHECK_EQ(complaint(params).second, "");
    for (const auto &[entry, shown] :
         {std::pair{std::pair{-3, 1.0F}, "-3"}, {{1, kInf}, "inf"}, {{1, kNan}, "nan"}}) {
        params.logit_bias = {{0, 1.0F}, entry};
        CHECK_EQ(complaint(params).first, "logit_bias");
        CHECK(complaint(params).second.ends_with(shown));
    }
}

TEST("stop strings are few and not empty") {
    SamplingParams params;
    params.stop.assign(kMaxStopStrings, "x");
    CHECK_EQ(complaint(params).second, "");
    params.stop.emplace_back("x");
    CHECK_EQ(complaint(params).first, "stop");
    CHECK(complaint(params).second.ends_with(std::to_string(kMaxStopStrings + 1)));
    params.stop = {"a", ""};
    CHECK_EQ(complaint(params).first, "stop");
}

TEST("plain greedy is temperature 0 and nothing that changes the order of tokens") {
    using Change = std::function<void(SamplingParams &)>;
    const auto plain = [](const Change &change) {
        SamplingParams params;
        params.temperature = 0;
        change(params);
        return params.is_plain_greedy();
    };
    CHECK(!SamplingParams{}.is_plain_greedy());
    for (const Change &harmless : std::initializer_list<Change>{
             [](SamplingParams &) {},
             [](SamplingParams &p) { p.top_k = 1; },
             [](SamplingParams &p) { p.top_p = 0.1F; },
             [](SamplingParams &p) { p.seed = 7; },
             [](SamplingParams &p) { p.logit_bias = {{1, -kInf}, {2, -kInf}}; },
             [](SamplingParams &p) {
                 p.repeat_penalty = 1.5F;
                 p.repeat_last_n = 0;
             },
         }) {
        CHECK(plain(harmless));
    }
    for (const Change &harmful : std::initializer_list<Change>{
             [](SamplingParams &p) { p.temperature = 0.1F; },
             [](SamplingParams &p) { p.logit_bias = {{1, -kInf}, {2, -100.0F}}; },
             [](SamplingParams &p) { p.logit_bias = {{1, 0.5F}}; },
             [](SamplingParams &p) { p.repeat_penalty = 1.5F; },
             [](SamplingParams &p) {
                 p.repeat_penalty = 0.5F;
                 p.repeat_last_n = -1;
             },
             [](SamplingParams &p) { p.frequency_penalty = -1.0F; },
             [](SamplingParams &p) { p.presence_penalty = 1.0F; },
             [](SamplingParams &p) { p.dry_multiplier = 0.8F; },
             [](SamplingParams &p) { p.xtc_probability = 0.5F; },
             [](SamplingParams &p) { p.typical_p = 0.5F; },
             [](SamplingParams &p) { p.mirostat = 2; },
             [](SamplingParams &p) { p.grammar = "root ::= \"a\""; },
         }) {
        CHECK(!plain(harmful));
    }
}

TEST("adapters are checked one by one") {
    const auto blamed = [](std::vector<LoraAdapter> adapters) {
        auto config = valid<EngineConfig>();
        config.lora_adapters = std::move(adapters);
        return complaint(config).first;
    };
    CHECK_EQ(blamed({{.path = "a"}, {.path = "b", .scale = -0.5F}, {.path = "c", .scale = 0}}), "");
    CHECK_EQ(blamed({{.path = "a"}, {.path = ""}}), "lora_adapters[1]");
    CHECK_EQ(blamed({{.path = "a", .scale = kNan}}), "lora_adapters[0].scale");
    CHECK_EQ(blamed({{.path = "a", .scale = kInf}}), "lora_adapters[0].scale");
    CHECK_EQ(blamed({{.path = "a"}, {.path = "b"}, {.path = "a", .scale = 2}}), "lora_adapters[2]");
    std::vector<LoraAdapter> many(kMaxAdapters + 1);
    for (std::size_t i = 0; i < many.size(); ++i) {
        many[i].path = std::to_string(i);
    }
    CHECK_EQ(blamed(many), "lora_adapters");
}
