// Chooses which tokens a request's samplers get to see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "llama.h"

#include "core/logit_row.h"
#include "core/params.h"
#include "core/top_k.h"

namespace llamad {

// Candidates for the samplers to choose from; none is at -inf or NaN.
struct Listed {
    llama_token_data_array array;
    bool is_short; // whether the work of every sampler up to top-k is done
    // Whether something is missing that only all logits tell: then there is nothing to choose from.
    bool is_cut_off = false;
};

// The first sampler of most requests keeps a few tokens of a whole vocabulary. Finding these in the logits
// gives the samplers that follow the very array that llama.cpp's own would have left: the same tokens with
// the same logits in the same order (of equal logits, llama.cpp may take others). What is listed is valid
// until the next call. One thread at a time.
class Shortlist {
  public:
    // Drops the candidates that are not allowed and keeps the others in order.
    using Filter = std::function<void(llama_token_data_array &)>;

    Shortlist(const SamplingParams &params, std::int32_t n_vocab);

    // Whether list() gives a short list.
    bool is_short() const { return kind_ != Kind::kAll; }

    // Whether some of a row can give a list: those that a device picks out, see BackendShortlist.
    bool needs_all_logits() const;

    Listed list(LogitRow logits);

    // As if only what passes the filter were in the vocabulary.
    Listed list_allowed(std::span<const float> logits, const Filter &keep_allowed);

  private:
    enum class Kind : std::uint8_t {
        kLargest,     // the k_ likeliest
        kNearLargest, // those within margin_ of the likeliest
        kAll,
    };

    llama_token_data_array fill(std::span<const Candidate> candidates, bool sorted);
    llama_token_data_array fill_with_all(std::span<const float> logits);

    Kind kind_ = Kind::kAll;
    std::size_t k_ = 0;
    float margin_ = 0;
    CandidateSelector selector_;
    std::vector<llama_token_data> candidates_;
};

} // namespace llamad
