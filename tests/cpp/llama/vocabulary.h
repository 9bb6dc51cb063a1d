// A real vocabulary (GPT-2's) without a model, for what needs one: grammars and DRY.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "llama.h"

#include "core/types.h"

namespace llamad {

class TestVocabulary {
  public:
    TestVocabulary() {
        llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
        llama_model_params params = llama_model_default_params();
        params.vocab_only = true;
        model_.reset(llama_model_load_from_file(LLAMAD_TEST_VOCABULARY, params));
        if (model_ == nullptr) {
            throw std::runtime_error("cannot load " LLAMAD_TEST_VOCABULARY);
        }
    }

    const llama_vocab *get() const { return llama_model_get_vocab(model_.get()); }
    std::int32_t size() const { return llama_vocab_n_tokens(get()); }
    TokenId end() const { return llama_vocab_eos(get()); }

    std::vector<TokenId> tokenize(const std::string &text) const {
        std::vector<TokenId> tokens(text.size());
        const auto size = static_cast<std::int32_t>(text.size());
        tokens.resize(static_cast<std::size_t>(llama_tokenize(
            get(), text.data(), size, tokens.data(), size, /*add_special=*/false, /*parse_special=*/false)));
        return tokens;
    }

    std::string piece(TokenId token) const {
        std::string text(64, '\0');
        const std::int32_t size =
            llama_token_to_piece(get(), token, text.data(), static_cast<std::int32_t>(text.size()), 0, false);
        text.resize(static_cast<std::size_t>(std::max(size, 0)));
        return text;
    }

  private:
    struct Deleter {
        void operator()(llama_model *model) const { llama_model_free(model); }
    };
    std::unique_ptr<llama_model, Deleter> model_;
};

} // namespace llamad
