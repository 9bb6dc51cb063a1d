#include "llama/grammar.h"

#include <algorithm>
#include <cctype>
#include <exception>
#include <vector>

#include "core/errors.h"
#include "core/grammar_check.h"
#include "core/logit_scan.h"

namespace llamad {

Grammar::Grammar(const llama_vocab *vocab, const SamplingParams &params)
    : vocab_(vocab), source_(params.grammar) {
    check_grammar(source_);
    sampler_.reset(llama_sampler_init_grammar(vocab, source_.c_str(), "root"));
    if (sampler_ == nullptr) { // all that llama.cpp says is that it failed
        throw GrammarError("grammar", "grammar is not valid GBNF with a rule named \"root\"");
    }
    const TemplateSampling &of_template = params.of_template;
    if (!of_template.triggers.empty()) {
        sampler_.reset();
        watch_.emplace(of_template.triggers, of_template.thinking);
    } else if (!of_template.grammar_prefix.empty()) {
        accept_text(of_template.grammar_prefix);
    }
}

bool Grammar::allows(TokenId token) {
    if (waiting()) {
        return true;
    }
    llama_token_data candidate{token, 0.0F, 0.0F};
    llama_token_data_array array{&candidate, 1, -1, false};
    llama_sampler_apply(sampler_.get(), &array);
    return candidate.logit > kImpossible;
}

void Grammar::keep_allowed(llama_token_data_array &array) {
    llama_sampler_apply(sampler_.get(), &array);
    const auto *end =
        std::remove_if(array.data, array.data + array.size,
                       [](const llama_token_data &candidate) { return !(candidate.logit > kImpossible); });
    array.size = static_cast<std::size_t>(end - array.data);
}

void Grammar::accept(TokenId token) {
    if (!watch_) {
        llama_sampler_accept(sampler_.get(), token);
        return;
    }
    if (llama_vocab_is_eog(vocab_, token)) {
        return;
    }
    if (const auto triggered = watch_->push(token, text_of(token))) {
        begin(*triggered);
    }
}

// llama.cpp's own waiting searches all of the output at each token; here it sees the few tokens in which the
// trigger is, and so begins where that begins.
void Grammar::begin(const TriggerWatch::Triggered &triggered) {
    const char *pattern = triggered.pattern.c_str();
    llama_sampler_ptr sampler(
        llama_sampler_init_grammar_lazy_patterns(vocab_, source_.c_str(), "root", &pattern, 1, nullptr, 0));
    try {
        for (const TokenId token : triggered.tokens) {
            llama_sampler_accept(sampler.get(), token);
        }
    } catch (const std::exception &) {
        return; // the word was said, but not as the beginning of what the grammar says
    }
    sampler_ = std::move(sampler);
    watch_.reset();
}

void Grammar::accept_text(const std::string &text) {
    std::vector<TokenId> tokens(text.size() + 2);
    const std::int32_t n = llama_tokenize(vocab_, text.data(), static_cast<std::int32_t>(text.size()),
                                          tokens.data(), static_cast<std::int32_t>(tokens.size()),
                                          /*add_special=*/false, /*parse_special=*/true);
    tokens.resize(static_cast<std::size_t>(std::max(n, 0)));
    const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const std::string said = text_of(tokens[i]);
        // Some tokenizers put a space before the first token.
        if (i == 0 && !said.empty() && is_space(said.front()) && !is_space(text.front())) {
            continue;
        }
        if (!allows(tokens[i])) {
            throw GrammarError("grammar", "the grammar does not begin with what the prompt ends with");
        }
        llama_sampler_accept(sampler_.get(), tokens[i]);
    }
}

std::string Grammar::text_of(TokenId token) const {
    std::string text(16, '\0');
    const auto write = [&] {
        return llama_token_to_piece(vocab_, token, text.data(), static_cast<std::int32_t>(text.size()), 0,
                                    /*special=*/true);
    };
    std::int32_t n = write();
    if (n < 0) {
        text.resize(static_cast<std::size_t>(-n));
        n = write();
    }
    text.resize(static_cast<std::size_t>(std::max(n, 0)));
    return text;
}

} // namespace llamad
