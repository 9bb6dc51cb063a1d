// What a caller asked for, complete and validated: the engine thread only carries it out.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/sampler.h"
#include "core/types.h"

namespace llamad {

struct Request {
    RequestId id = 0;                    // assigned on submission
    std::vector<TokenId> prompt;         // at least 1 token, fewer than n_ctx
    std::int32_t max_tokens = 0;         // 0: the prompt's log-probabilities are all that is asked for
    std::vector<std::string> stop;       // none empty
    std::unique_ptr<SamplerChain> chain; // null: take the likeliest token
    std::vector<TokenId> forbidden;      // never taken; only read when chain is null
    std::int32_t n_logprobs = -1;        // see Sampler
    std::int32_t n_prompt_logprobs = -1; // the same for the prompt; its tokens are then computed
    std::size_t first_scored = 1;        // the first of those tokens; before the very first stands nothing
    // Control tokens, which else have no text, and the text that they have in this output.
    std::unordered_map<TokenId, std::string> shown;
    bool stream = false;             // deliver text as it comes, not only with the end
    std::int32_t priority = 0;       // lower is served first
    std::string client;              // requests of different clients share the slots evenly
    std::string cache_salt;          // prefixes are shared between requests of one salt only
    std::optional<double> timeout_s; // from submission to the end
    TimePoint submitted_at;          // set on submission
    // Whether this one, or another of the same prompt, has had a slot. Null: submission makes one for all
    // that come together. Engine thread.
    std::shared_ptr<bool> any_started;
};

} // namespace llamad
