// What a request's grammar allows.
#pragma once

#include <optional>
#include <string>

#include "llama-cpp.h"

#include "core/params.h"
#include "core/trigger_watch.h"
#include "core/types.h"

namespace llamad {

// llama.cpp's grammar, which holds from the beginning or from where a trigger is said. One thread at a time.
class Grammar {
  public:
    // `params.grammar` must not be empty. Throws GrammarError.
    Grammar(const llama_vocab *vocab, const SamplingParams &params);

    // Whether everything is allowed for now: the grammar waits for its trigger.
    bool waiting() const { return watch_.has_value(); }

    bool allows(TokenId token);

    // Drops the candidates that are not allowed and keeps the others in order.
    void keep_allowed(llama_token_data_array &array);

    // Takes the next token, which must be allowed. Throws std::runtime_error.
    void accept(TokenId token);

  private:
    void begin(const TriggerWatch::Triggered &triggered);
    void accept_text(const std::string &text);
    std::string text_of(TokenId token) const;

    const llama_vocab *vocab_;
    std::string source_;
    llama_sampler_ptr sampler_; // null while it waits
    std::optional<TriggerWatch> watch_;
};

} // namespace llamad
