// Turns what a caller says into a Request that the engine can carry out without further checks.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "core/params.h"
#include "core/request.h"
#include "llama/llama_model.h"

namespace llamad {

// One request for each of options.n completions. `n_ctx`: tokens that a slot has room for. `params` and
// `options` must have passed validate(). Any thread. Throws ParameterError, ContextLengthError, GrammarError.
std::vector<std::unique_ptr<Request>> build_requests(const LlamaModel &model, std::int32_t n_ctx,
                                                     const std::vector<TokenId> &prompt,
                                                     const SamplingParams &params,
                                                     const RequestOptions &options);

} // namespace llamad
