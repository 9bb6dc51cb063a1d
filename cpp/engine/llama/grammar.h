// What a request's grammar allows.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "llama.h"

#include "core/grammar_automaton.h"
#include "core/params.h"
#include "core/trigger_watch.h"
#include "core/types.h"
#include "core/utf8.h"

namespace llamad {

// A grammar in llama.cpp's GBNF, which holds from the beginning or from where a trigger is said. llama.cpp's
// own matcher follows each way to read a token by itself, of which there may be more than would ever end, and
// takes ill-formed UTF-8 for text; besides, it is slower. One thread at a time.
class Grammar {
  public:
    // `params.grammar` must not be empty. Throws GrammarError.
    Grammar(const llama_vocab *vocab, const SamplingParams &params);

    // Whether everything is allowed for now: the grammar waits for its trigger.
    bool waiting() const { return watch_.has_value(); }

    // These throw std::runtime_error where the grammar takes too long to follow.
    bool allows(TokenId token);
    // Drops the candidates that are not allowed and keeps the others in order.
    void keep_allowed(llama_token_data_array &array);
    // Takes the next token, which must be allowed.
    void accept(TokenId token);

  private:
    // A place in what is said.
    struct Place {
        GrammarAutomaton::State state = GrammarAutomaton::kDead;
        Utf8Reader text; // perhaps within a character
    };

    std::optional<Place> after(const Place &place, std::string_view text);
    std::optional<Place> after(TokenId token);
    void go_to(const std::optional<Place> &place);
    std::string text_of(TokenId token) const;

    const llama_vocab *vocab_;
    GrammarAutomaton automaton_;
    Place place_;
    std::optional<TriggerWatch> watch_;
};

} // namespace llamad
