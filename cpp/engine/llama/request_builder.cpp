#include "llama/request_builder.h"

#include <algorithm>
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

// llama.cpp parses groups by recursion and follows rules by recursion, both without a limit: a grammar
// that is large enough would overflow the stack. Parentheses in literals count too, which is harmless.
void check_grammar_size(const std::string &grammar) {
    constexpr std::size_t kMostBytes = 262'144;
    constexpr int kMostNestedGroups = 500;
    if (grammar.size() > kMostBytes) {
        throw GrammarError("grammar", "grammar must have at most " + std::to_string(kMostBytes) +
                                          " bytes, got " + std::to_string(grammar.size()));
    }
    int depth = 0;
    for (const char c : grammar) {
        depth = c == '(' ? depth + 1 : c == ')' ? std::max(depth - 1, 0) : depth;
        if (depth > kMostNestedGroups) {
            throw GrammarError("grammar",
                               "grammar must nest at most " + std::to_string(kMostNestedGroups) + " groups");
        }
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
    check_grammar_size(params.grammar);
    // A finished grammar allows nothing but the end.
    if (params.ignore_eos && !params.grammar.empty()) {
        throw ParameterError("ignore_eos", "ignore_eos cannot be combined with a grammar");
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

} // namespace

std::unique_ptr<Request> build_request(const LlamaModel &model, std::int32_t n_ctx,
                                       std::vector<TokenId> prompt, const SamplingParams &params,
                                       bool stream) {
    check_prompt(model, n_ctx, prompt);
    check_against_model(model, params);
    auto request = std::make_unique<Request>();
    if (params.is_plain_greedy()) {
        request->forbidden = forbidden_tokens(model, params);
    } else {
        request->chain = std::make_unique<LlamaSamplerChain>(model, params, prompt, n_ctx);
    }
    request->prompt = std::move(prompt);
    request->max_tokens = params.max_tokens.value_or(n_ctx);
    request->stop = params.stop;
    request->stream = stream;
    return request;
}

} // namespace llamad
