// The tokens from which a reranking model scores a document.
#pragma once

#include <string_view>
#include <vector>

#include "core/types.h"
#include "llama/llama_model.h"

namespace llamad {

// By the model's own template, where it has one (Qwen3-Reranker), else the pair that BERT's kin are trained
// on: [BOS] query [EOS] [SEP] document [EOS], of which each special token is there if the vocabulary says so.
std::vector<TokenId> rerank_prompt(const LlamaModel &model, std::string_view query,
                                   std::string_view document);

} // namespace llamad
