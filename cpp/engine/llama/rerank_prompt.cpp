#include "llama/rerank_prompt.h"

#include <array>
#include <string>
#include <utility>

#include "llama.h"

namespace llamad {

namespace {

// In one pass: a query may itself say "{document}".
std::string fill_in(std::string_view text, std::string_view query, std::string_view document) {
    const std::array<std::pair<std::string_view, std::string_view>, 2> fields{
        {{"{query}", query}, {"{document}", document}}};
    std::string filled;
    while (!text.empty()) {
        bool replaced = false;
        for (const auto &[name, value] : fields) {
            if (text.starts_with(name)) {
                filled.append(value);
                text.remove_prefix(name.size());
                replaced = true;
                break;
            }
        }
        if (!replaced) {
            filled.push_back(text.front());
            text.remove_prefix(1);
        }
    }
    return filled;
}

class Pair {
  public:
    explicit Pair(const LlamaModel &model) : model_(model) {}

    void add(TokenId token, bool wanted) {
        if (wanted && token != LLAMA_TOKEN_NULL) {
            tokens_.push_back(token);
        }
    }
    void add(std::string_view text) {
        const auto tokens = model_.tokenize(text, /*add_special=*/false, /*parse_special=*/false);
        tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    }
    std::vector<TokenId> take() { return std::move(tokens_); }

  private:
    const LlamaModel &model_;
    std::vector<TokenId> tokens_;
};

} // namespace

std::vector<TokenId> rerank_prompt(const LlamaModel &model, std::string_view query,
                                   std::string_view document) {
    if (const char *own = llama_model_chat_template(model.get(), "rerank")) {
        return model.tokenize(fill_in(own, query, document), /*add_special=*/false, /*parse_special=*/true);
    }
    const llama_vocab *vocab = model.vocab();
    const TokenId sep = llama_vocab_sep(vocab);
    const TokenId eos = llama_vocab_eos(vocab) == LLAMA_TOKEN_NULL ? sep : llama_vocab_eos(vocab);
    const bool adds_eos = llama_vocab_get_add_eos(vocab);
    const bool adds_sep = llama_vocab_get_add_sep(vocab);
    Pair pair(model);
    pair.add(llama_vocab_bos(vocab), llama_vocab_get_add_bos(vocab));
    pair.add(query);
    pair.add(eos, adds_eos);
    pair.add(sep, adds_sep);
    pair.add(document);
    pair.add(adds_eos ? eos : sep, adds_eos || adds_sep);
    return pair.take();
}

} // namespace llamad
