// What a request does to the logits of single tokens before any is chosen from: biases, then penalties.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llama-cpp.h"

#include "core/logit_row.h"
#include "core/params.h"
#include "core/types.h"

namespace llamad {

// Edits a row in place and takes the edits back: only the tokens concerned are looked at, where llama.cpp's
// penalties look up every token of the vocabulary. The arithmetic is llama.cpp's own sampler's.
class LogitEdits {
  public:
    // `bias` is added to the logits, once for each time that a token is listed. `look_back`: how many tokens
    // the penalties remember; 0 turns them off.
    LogitEdits(std::vector<std::pair<TokenId, float>> bias, const SamplingParams &params,
               std::int32_t n_vocab, std::int32_t look_back);

    // What is not in the row is left alone.
    void apply(LogitRow logits);

    // Takes back the last apply(), to the bit. Requires the same logits, where they were.
    void undo() noexcept;

    // Whether no logit is raised: a row's bound holds after apply() then.
    bool only_lowers() const { return only_lowers_; }

    // The token becomes the latest one that the penalties look back at.
    void accept(TokenId token);

  private:
    void edit(float &logit, float edited);

    std::vector<std::pair<TokenId, float>> bias_;
    llama_sampler_ptr penalties_; // null: none
    bool only_lowers_;
    std::size_t look_back_;
    std::vector<TokenId> recent_; // a ring once it is full
    std::size_t oldest_ = 0;
    std::unordered_map<TokenId, int> counts_; // of the tokens in recent_
    std::vector<llama_token_data> penalized_;
    std::vector<std::pair<float *, float>> before_;
};

} // namespace llamad
