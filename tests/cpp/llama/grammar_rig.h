// A real vocabulary, chains that sample from it, and llama.cpp's examples of grammars.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "reference_chain.h"
#include "vocabulary.h"

#include "core/utf8.h"
#include "llama/llama_sampler.h"

namespace llamad {

inline constexpr std::int32_t kCtx = 512;

inline const TestVocabulary &vocabulary() {
    static const TestVocabulary loaded;
    return loaded;
}

inline LlamaSamplerChain::Vocabulary chain_vocabulary() {
    return {.llama = vocabulary().get(), .size = vocabulary().size(), .forbidden = {}, .ends = {}};
}

inline Logits row(std::mt19937 &random) {
    return random_row(random, static_cast<std::size_t>(vocabulary().size()));
}

// What has been said, and what of the vocabulary would make it no UTF-8.
class Said {
  public:
    bool is_text(TokenId token) const {
        return token == vocabulary().end() ? reader_.is_whole() : take(token).second;
    }
    void add(TokenId token) { reader_ = take(token).first; }

  private:
    std::pair<Utf8Reader, bool> take(TokenId token) const {
        Utf8Reader reader = reader_;
        const std::string piece = vocabulary().piece(token);
        const bool fits = std::all_of(piece.begin(), piece.end(), [&](char byte) {
            return reader.take(static_cast<std::uint8_t>(byte));
        });
        return {reader, fits};
    }

    Utf8Reader reader_;
};

inline std::string example(const std::string &name) {
    std::ifstream file(LLAMAD_TEST_GRAMMARS "/" + name + ".gbnf");
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

inline TokenId token_of(std::string_view piece) {
    for (TokenId token = 0; token < vocabulary().size(); ++token) {
        if (vocabulary().piece(token) == piece) {
            return token;
        }
    }
    throw std::runtime_error("the vocabulary has no such token");
}

} // namespace llamad
