// What a caller asked for, complete and validated: the engine thread only carries it out.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/model_runner.h"
#include "core/types.h"

namespace llamad {

struct Request {
    RequestId id = 0;                    // assigned on submission
    std::vector<TokenId> prompt;         // at least 1 token, fewer than n_ctx
    std::int32_t max_tokens = 0;         // at least 1
    std::vector<std::string> stop;       // none empty
    std::unique_ptr<SamplerChain> chain; // null: take the likeliest token
    std::vector<TokenId> forbidden;      // never taken; only read when chain is null
    bool stream = false;                 // deliver text as it comes, not only with the end
    TimePoint submitted_at;              // set on submission
};

} // namespace llamad
