// llama.cpp's sampling chain and grammar behind the engine's SamplerChain.
#pragma once

#include <memory>
#include <span>

#include "sampling.h"

#include "core/model_runner.h"
#include "core/params.h"
#include "llama/llama_model.h"

namespace llamad {

class LlamaSamplerChain final : public SamplerChain {
  public:
    // `prompt` is what the penalties and DRY look back at. `n_ctx` is what a look-back of -1 means.
    // Throws GrammarError.
    LlamaSamplerChain(const LlamaModel &model, const SamplingParams &params, std::span<const TokenId> prompt,
                      std::int32_t n_ctx);

    // Samples from an output row of the context's last decode. Engine thread. Throws std::exception.
    TokenId sample(llama_context *context, std::int32_t row);

  private:
    common_sampler_ptr sampler_;
};

} // namespace llamad
