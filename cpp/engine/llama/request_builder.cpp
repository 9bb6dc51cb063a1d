#include "llama/request_builder.h"

#include <algorithm>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "core/errors.h"
#include "llama/llama_sampler.h"

namespace llamad {

namespace {

void check_prompt(const LlamaModel &model, std::int32_t n_ctx, const std::vector<TokenId> &prompt) {
    if (prompt.empty()) {
        throw ParameterError("prompt", "prompt must have at least one token");
    }
    for (const TokenId token : prompt) {
        if (token < 0 || token >= model.n_vocab()) {
            throw ParameterError("prompt", "prompt must consist of token ids from 0 to " +
                                               std::to_string(model.n_vocab() - 1) + ", got " +
                                               std::to_string(token));
        }
    }
    if (prompt.size() >= static_cast<std::size_t>(n_ctx)) {
        throw ContextLengthError("prompt",
                                 "the prompt has " + std::to_string(prompt.size()) +
                                     " tokens, but the context of " + std::to_string(n_ctx) +
                                     " tokens must hold the prompt and at least one more; shorten it, or "
                                     "load the model with a larger n_ctx");
    }
}

void check_scored(const std::vector<TokenId> &prompt, const SamplingParams &params) {
    const std::int32_t start = params.prompt_logprobs_start;
    if (start > 0 && static_cast<std::size_t>(start) >= prompt.size()) {
        throw ParameterError("prompt_logprobs_start",
                             "prompt_logprobs_start must be less than the prompt's " +
                                 std::to_string(prompt.size()) + " tokens, got " + std::to_string(start));
    }
}

void check_against_model(const LlamaModel &model, const SamplingParams &params) {
    for (const auto &[token, bias] : params.logit_bias) {
        if (token >= model.n_vocab()) {
            throw ParameterError("logit_bias", "logit_bias must name token ids from 0 to " +
                                                   std::to_string(model.n_vocab() - 1) + ", got " +
                                                   std::to_string(token));
        }
    }
    // A finished grammar allows nothing but the end.
    if (!params.grammar.empty() && (params.ignore_eos || params.min_tokens > 0)) {
        const char *field = params.ignore_eos ? "ignore_eos" : "min_tokens";
        throw ParameterError(field, std::string(field) + " cannot be combined with a grammar");
    }
}

std::vector<TokenId> forbidden_tokens(const LlamaModel &model, const SamplingParams &params) {
    std::vector<TokenId> forbidden = model.suppressed_tokens();
    for (const auto &[token, bias] : params.logit_bias) {
        forbidden.push_back(token); // is_plain_greedy(): every bias is -inf
    }
    if (params.ignore_eos) {
        const std::vector<TokenId> &eog = model.end_of_generation_tokens();
        forbidden.insert(forbidden.end(), eog.begin(), eog.end());
    }
    return forbidden;
}

std::unique_ptr<Request> build_request(const LlamaModel &model, std::int32_t n_ctx,
                                       const std::vector<TokenId> &prompt, const SamplingParams &params,
                                       const RequestOptions &options) {
    auto request = std::make_unique<Request>();
    if (params.is_plain_greedy()) {
        request->forbidden = forbidden_tokens(model, params);
    } else {
        request->chain = std::make_unique<LlamaSamplerChain>(model, params, prompt, n_ctx);
    }
    request->prompt = prompt;
    request->max_tokens = params.max_tokens.value_or(n_ctx);
    request->n_logprobs = params.logprobs.value_or(-1);
    for (const TokenId token : params.of_template.shown) {
        request->shown.emplace(token, model.detokenize(std::span(&token, 1), /*special=*/true));
    }
    request->stop = params.stop;
    request->stream = options.stream;
    request->priority = options.priority;
    request->client = options.client;
    request->cache_salt = options.cache_salt;
    if (options.timeout_s > 0) {
        request->timeout_s = options.timeout_s;
    }
    return request;
}

} // namespace

std::vector<std::unique_ptr<Request>> build_requests(const LlamaModel &model, std::int32_t n_ctx,
                                                     const std::vector<TokenId> &prompt,
                                                     const SamplingParams &params,
                                                     const RequestOptions &options) {
    check_prompt(model, n_ctx, prompt);
    check_scored(prompt, params);
    check_against_model(model, params);
    SamplingParams of_choice = params;
    std::vector<std::unique_ptr<Request>> requests;
    for (std::int32_t i = 0; i < options.n; ++i) {
        requests.push_back(build_request(model, n_ctx, prompt, of_choice, options));
        if (i == 0) { // the prompt is the same for all
            requests.back()->n_prompt_logprobs = params.prompt_logprobs.value_or(-1);
            requests.back()->first_scored =
                static_cast<std::size_t>(std::max(params.prompt_logprobs_start, 1));
        }
        if (of_choice.seed && *of_choice.seed != -1) { // else all would say the same
            of_choice.seed =
                *of_choice.seed == std::numeric_limits<std::int64_t>::max() ? 0 : *of_choice.seed + 1;
        }
    }
    return requests;
}

} // namespace llamad
