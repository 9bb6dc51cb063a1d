#include "llama/llama_engine.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <string>
#include <utility>

#include "chat/answer_grammar.h"
#include "core/errors.h"
#include "core/host_memory.h"
#include "llama/layer_fit.h"
#include "llama/llama_runner.h"
#include "llama/prefix_store.h"
#include "llama/request_builder.h"

namespace llamad {

namespace {

// Bytes of text that are tokenized in any case, so that the error can say how many tokens there are.
constexpr std::size_t kAlwaysTokenized = 65'536;

std::uint64_t next_engine_id() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
}

// A template that is to be used for every request fails now, not with the first of them. Some want to begin
// with the system's message.
std::unique_ptr<const ChatTemplate> load_template(const std::shared_ptr<const LlamaModel> &model,
                                                  const EngineConfig &config) {
    if (config.chat_template.empty()) {
        return std::make_unique<const ChatTemplate>(model, config.chat_template);
    }
    try {
        auto chat_template = std::make_unique<const ChatTemplate>(model, config.chat_template);
        try {
            chat_template->apply(R"({"messages": [{"role": "user", "content": "x"}]})");
        } catch (const RequestError &) {
            chat_template->apply(R"({"messages": [{"role": "system", "content": "x"},
                                                  {"role": "user", "content": "x"}]})");
        }
        return chat_template;
    } catch (const RequestError &error) {
        throw ModelLoadError("the chat_template given for " + config.model_path +
                             " cannot be used: " + error.what());
    }
}

// What the tools' grammar forbids, said in terms of what the caller has sent.
void require_end(const SamplingParams &params) {
    if (!params.grammar.empty() && (params.ignore_eos || params.min_tokens > 0)) {
        const std::string field = params.ignore_eos ? "ignore_eos" : "min_tokens";
        throw ParameterError(field, field + " cannot be combined with tools: a tool call is an answer's end");
    }
}

// Null: it stands in the list of those that are being submitted twice.
void require_unsubmitted(const Prepared &prepared) {
    if (prepared.requests.empty() || prepared.requests.front() == nullptr) {
        throw ParameterError("prepared", "the request has been submitted before; prepare a new one");
    }
}

} // namespace

std::vector<Prepared> Prepared::take_apart() {
    require_unsubmitted(*this);
    std::vector<Prepared> parts;
    parts.reserve(n);
    const auto any_started = std::make_shared<bool>(false);
    for (std::unique_ptr<Request> &request : requests) {
        request->any_started = any_started;
        std::vector<std::unique_ptr<Request>> one;
        one.push_back(std::move(request));
        parts.emplace_back(prompt, std::move(one), engine_id).format = format;
    }
    requests.clear();
    return parts;
}

LlamaEngine::LlamaEngine(const EngineConfig &config, const LlamaModel::Progress &progress)
    : id_(next_engine_id()) {
    config.validate();
    const EngineConfig decided = placed_to_load(config);
    auto model = std::make_shared<const LlamaModel>(decided, progress);
    model->require_text_generation();
    auto chat_template = load_template(model, config);
    auto runner = std::make_unique<LlamaRunner>(model, decided);
    info_ = model->info();
    info_.memory = runner->memory();
    info_.n_ctx = runner->limits().n_ctx;
    info_.n_parallel = config.n_parallel;
    info_.has_chat_template = chat_template->is_models_own();
    info_.has_tools_template = chat_template->knows_tools();
    info_.thinks = chat_template->thinks();
    loaded_ = std::make_shared<const Loaded>(Loaded{std::move(model), std::move(chat_template)});
    const MakeStore make_store = prefix_store(config, runner->limits());
    engine_ = std::make_unique<Engine>(std::move(runner),
                                       EngineLimits{.itl_target_ms = config.itl_target_ms,
                                                    .max_queue = config.max_queue,
                                                    .queue_timeout_s = config.queue_timeout_s,
                                                    .request_timeout_s = config.request_timeout_s},
                                       make_store);
}

std::shared_ptr<const LlamaEngine::Loaded> LlamaEngine::loaded() const {
    home_.require_here();
    const std::lock_guard lock(mutex_);
    if (loaded_ == nullptr) {
        throw EngineClosedError("the engine is closed");
    }
    return loaded_;
}

// A long text that cannot fit is not tokenized: some tokenizers recurse once per letter of a word.
void LlamaEngine::require_room(const LlamaModel &model, std::size_t n_bytes) const {
    // Twice, because a token may stand for text with more white space than its own.
    const std::size_t most_that_fits = 2 * model.longest_token() * static_cast<std::size_t>(info_.n_ctx);
    if (n_bytes > std::max(most_that_fits, kAlwaysTokenized)) {
        throw ContextLengthError("prompt", "the prompt of " + std::to_string(n_bytes) +
                                               " bytes cannot fit into the context of " +
                                               std::to_string(info_.n_ctx) + " tokens; shorten it");
    }
}

Prepared LlamaEngine::prepare(std::string_view prompt, const SamplingParams &params,
                              const RequestOptions &options) const {
    const std::shared_ptr<const Loaded> with = loaded();
    require_room(*with->model, prompt.size());
    return prepare(with->model->tokenize(prompt, /*add_special=*/true, /*parse_special=*/true), params,
                   options);
}

Prepared LlamaEngine::prepare(std::vector<TokenId> prompt, const SamplingParams &params,
                              const RequestOptions &options) const {
    const std::shared_ptr<const Loaded> with = loaded();
    auto requests = build_requests(*with->model, info_.n_ctx, prompt, params, options);
    return {std::move(prompt), std::move(requests), id_};
}

Prepared LlamaEngine::prepare_chat(std::string_view conversation_json, SamplingParams params,
                                   const RequestOptions &options) const {
    ChatPrompt prompt = loaded()->chat_template->apply(conversation_json);
    params.stop.insert(params.stop.end(), prompt.stops.begin(), prompt.stops.end());
    const bool is_answers = !params.grammar.empty(); // rather than the tool calls'
    if (is_answers && prompt.calls_tools) {
        throw ParameterError("response_format",
                             "response_format, or another grammar, cannot be combined with tools");
    }
    if (!is_answers) {
        params.grammar = std::move(prompt.grammar);
        require_end(params);
    } else if (prompt.may_think) {
        params.grammar = after_thinking(params.grammar, prompt.sampling.thinking);
    }
    params.of_template = std::move(prompt.sampling);
    try {
        Prepared prepared = prepare(prompt.text, params, options);
        prepared.format = std::move(prompt.format);
        return prepared;
    } catch (const GrammarError &error) {
        if (is_answers) {
            throw;
        }
        throw ParameterError("tools", std::string("the tools cannot be used: ") + error.what());
    }
}

std::string LlamaEngine::apply_template(std::string_view conversation_json) const {
    return loaded()->chat_template->apply(conversation_json).text;
}

Prepared LlamaEngine::prepare_infill(std::string_view prefix, std::string_view suffix,
                                     const SamplingParams &params, const RequestOptions &options) const {
    const std::shared_ptr<const Loaded> with = loaded();
    require_room(*with->model, prefix.size() + suffix.size());
    return prepare(with->model->infill_prompt(prefix, suffix), params, options);
}

std::vector<TokenId> LlamaEngine::tokenize(std::string_view text, bool add_special,
                                           bool parse_special) const {
    return loaded()->model->tokenize(text, add_special, parse_special);
}

std::string LlamaEngine::detokenize(std::span<const TokenId> tokens, bool special) const {
    return loaded()->model->detokenize(tokens, special);
}

std::vector<std::string> LlamaEngine::token_pieces(std::span<const TokenId> tokens) const {
    const std::shared_ptr<const Loaded> with = loaded();
    std::vector<std::string> pieces;
    pieces.reserve(tokens.size());
    for (const TokenId token : tokens) {
        pieces.push_back(with->model->written_out(token));
    }
    return pieces;
}

std::vector<RequestId> LlamaEngine::submit(std::span<Prepared *const> prepared) {
    std::vector<std::unique_ptr<Request>> requests;
    RequestId first = 0;
    Engine &accepting = engine();
    try {
        for (Prepared *one : prepared) {
            if (one->engine_id != id_) {
                throw ParameterError("prepared", "the request was prepared by another engine");
            }
            require_unsubmitted(*one);
            std::ranges::move(one->requests, std::back_inserter(requests));
        }
        first = accepting.submit(requests);
    } catch (...) {
        auto next = requests.begin();
        for (Prepared *one : prepared) {
            for (std::unique_ptr<Request> &taken : one->requests) {
                if (taken == nullptr) {
                    taken = std::move(*next++);
                }
            }
        }
        throw;
    }
    for (Prepared *one : prepared) {
        one->requests.clear();
    }
    std::vector<RequestId> ids(requests.size());
    std::iota(ids.begin(), ids.end(), first);
    return ids;
}

void LlamaEngine::close() {
    if (!is_at_home()) {
        return;
    }
    closed_.store(true, std::memory_order_release);
    if (engine_ != nullptr) {
        engine_->close();
    }
    {
        const std::lock_guard lock(mutex_);
        loaded_.reset();
    }
    give_back_freed_memory();
}

} // namespace llamad
