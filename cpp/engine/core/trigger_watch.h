// Waits in a model's output for what a chat template's grammar begins with: a tool call, say.
#pragma once

#include <cstddef>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "core/params.h"

namespace llamad {

// Looks at the last few hundred bytes only, so that a token costs the same however much came before it.
class TriggerWatch {
  public:
    // Throws std::regex_error.
    TriggerWatch(const std::vector<Trigger> &triggers, Thinking thinking);

    // Takes the next token's text, control tokens written out. Returns the end of the output from where the
    // grammar begins, once it does.
    std::optional<std::string> push(std::string_view text);

  private:
    struct Pattern {
        std::regex regex;
        bool anchored; // means the beginning of the output
    };
    // A word in the tail. Its position is npos where there is none.
    struct Found {
        std::size_t begin;
        const std::string *word;
    };

    Found first_of(const std::vector<std::string> &words) const;
    // Whether thinking has begun or ended; then what comes after that has not been looked at.
    bool passes_tag(std::size_t before);
    std::optional<std::string> match() const;
    void forget();

    std::vector<std::string> words_;
    std::vector<Pattern> patterns_;
    Thinking thinking_;
    std::vector<std::string> starts_; // thinking_.start as a list, empty where there is none
    std::size_t longest_word_ = 1;
    std::string text_;          // the tail of the output
    std::size_t looked_at_ = 0; // no word or tag begins before this place of text_
    bool complete_ = true;      // text_ is all there has been
};

} // namespace llamad
