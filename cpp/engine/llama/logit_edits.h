// What a request does to the logits of single tokens before any is chosen from: biases, then penalties.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llama-cpp.h"

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

    void apply(std::span<float> logits);

    // Takes back the last apply(), to the bit. Requires the same logits.
    void undo(std::span<float> logits) noexcept;

    // The token becomes the latest one that the penalties look back at.
    void accept(TokenId token);

  private:
    void edit(std::span<float> logits, TokenId token, float logit);

    std::vector<std::pair<TokenId, float>> bias_;
    llama_sampler_ptr penalties_; // null: none
    std::size_t look_back_;
    std::vector<TokenId> recent_; // a ring once it is full
    std::size_t oldest_ = 0;
    std::unordered_map<TokenId, int> counts_; // of the tokens in recent_
    std::vector<llama_token_data> penalized_;
    std::vector<std::pair<TokenId, float>> before_;
};

} // namespace llamad
