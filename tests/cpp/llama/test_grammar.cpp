#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "grammar_rig.h"

#include "core/detokenizer.h"
#include "llama/grammar.h"

using namespace llamad;

namespace {

std::vector<TokenId> allowed_by(llama_sampler &grammar, const Said &said) {
    std::vector<llama_token_data> all;
    for (TokenId token = 0; token < vocabulary().size(); ++token) {
        all.push_back({token, 0.0F, 0.0F});
    }
    llama_token_data_array array{all.data(), all.size(), -1, false};
    llama_sampler_apply(&grammar, &array);
    std::vector<TokenId> allowed;
    for (const llama_token_data &candidate : all) {
        if (candidate.logit > kMinusInf && said.is_text(candidate.id)) {
            allowed.push_back(candidate.id);
        }
    }
    return allowed;
}

std::vector<TokenId> allowed_by(Grammar &grammar) {
    std::vector<TokenId> allowed;
    for (TokenId token = 0; token < vocabulary().size(); ++token) {
        if (grammar.allows(token)) {
            allowed.push_back(token);
        }
    }
    return allowed;
}

} // namespace

TEST("bytes that are no text fit no grammar, nor does an end within a character") {
    SamplingParams params;
    params.grammar = R"(root ::= [^"]*)";
    Grammar grammar(vocabulary().get(), params);
    CHECK(grammar.allows(vocabulary().end()));
    CHECK(!grammar.allows(token_of("\xC0")) && !grammar.allows(token_of("\x80")));
    grammar.accept(token_of("\xF0"));
    CHECK(!grammar.allows(vocabulary().end()) && !grammar.allows(token_of("a")));
    CHECK(!grammar.allows(token_of("\x86"))); // llama.cpp takes F0 86 BC A2 for E6 BC A2
    grammar.accept(token_of("\x9F"));
    grammar.accept(token_of("\x98"));
    grammar.accept(token_of("\x80"));
    CHECK(grammar.allows(vocabulary().end()));
    grammar.accept(token_of(" \xE2\x80"));
    CHECK(!grammar.allows(vocabulary().end()));
    CHECK(grammar.allows(token_of("\x99")));
}

TEST("a class that leaves a character out allows the others that begin like it") {
    SamplingParams params;
    params.grammar = R"(root ::= [^\u2028\u2029])";
    Grammar grammar(vocabulary().get(), params);
    CHECK(grammar.allows(token_of("\xE2\x80")));
    grammar.accept(token_of("\xE2\x80"));
    CHECK(grammar.allows(token_of("\x99")) && !grammar.allows(token_of("\xA8")));
}

TEST("random tokens under a grammar are UTF-8") {
    std::mt19937 random(9);
    SamplingParams params;
    params.grammar = "root ::= [^a-z]{60}";
    params.temperature = 0;
    LlamaSamplerChain chain(chain_vocabulary(), params, {}, kCtx);
    std::vector<TokenId> bytes;
    for (TokenId token = 0; token < vocabulary().size(); ++token) {
        if (vocabulary().piece(token).size() == 1) {
            bytes.push_back(token);
        }
    }
    Detokenizer said;
    std::string text;
    for (int i = 0; i < 60; ++i) {
        Logits logits = row(random);
        for (const TokenId token : bytes) {
            logits[static_cast<std::size_t>(token)] += 50;
        }
        said.push(vocabulary().piece(chain.sample(logits)), text);
    }
    CHECK_EQ(text.find("\xEF\xBF\xBD"), std::string::npos);
    CHECK(std::any_of(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) < 0; }));
}

TEST("llama.cpp's own examples of grammars pass") {
    for (const char *name : {"arithmetic", "c", "chess", "english", "japanese", "json", "json_arr", "list"}) {
        SamplingParams params;
        params.grammar = example(name);
        CHECK(!params.grammar.empty());
        const LlamaSamplerChain chain(chain_vocabulary(), params, {}, kCtx);
    }
}

TEST("the examples of grammars allow the tokens that they allow in llama.cpp") {
    std::mt19937 random(10);
    for (const char *name : {"arithmetic", "c", "chess", "japanese", "json", "json_arr"}) {
        SamplingParams params;
        params.grammar = example(name);
        Grammar ours(vocabulary().get(), params);
        const llama_sampler_ptr theirs(
            llama_sampler_init_grammar(vocabulary().get(), params.grammar.c_str(), "root"));
        Said said;
        for (int step = 0; step < 12; ++step) {
            const std::vector<TokenId> allowed = allowed_by(*theirs, said);
            CHECK(allowed == allowed_by(ours));
            const TokenId token = allowed.empty() ? vocabulary().end() : allowed[random() % allowed.size()];
            if (token == vocabulary().end()) {
                break;
            }
            said.add(token);
            ours.accept(token);
            llama_sampler_accept(theirs.get(), token);
        }
    }
}

TEST("however many readings a long token has, it is taken or the grammar given up, soon") {
    const TokenId dashes = token_of(std::string(64, '-'));
    for (const char *grammar : {R"(root ::= "-" root "b" | "-" root "c" | "x")",
                                R"(root ::= ("-" | "-")* "x")", R"(root ::= ("-"+ "."?)* "x")"}) {
        SamplingParams params;
        params.grammar = grammar;
        params.temperature = 0;
        LlamaSamplerChain chain(chain_vocabulary(), params, {}, kCtx);
        Logits logits(static_cast<std::size_t>(vocabulary().size()));
        logits[static_cast<std::size_t>(dashes)] = 2;
        logits[static_cast<std::size_t>(token_of("zz"))] = 3; // makes it look at all tokens
        const bool stay_apart = std::string_view(grammar).find('b') != std::string_view::npos;
        try {
            CHECK_EQ(chain.sample(logits), dashes);
            CHECK(!stay_apart);
        } catch (const std::runtime_error &error) {
            CHECK(stay_apart);
            CHECK(std::string(error.what()).find("too long") != std::string::npos);
        }
    }
}

TEST("tokens may be asked for as such") {
    SamplingParams params;
    const TokenId the = token_of(" the");
    params.grammar = "root ::= <[" + std::to_string(the) + "]> \"a\" !<[" + std::to_string(the) + "]>";
    Grammar grammar(vocabulary().get(), params);
    CHECK(grammar.allows(the) && !grammar.allows(token_of(" ")) && !grammar.allows(token_of("a")));
    grammar.accept(the);
    CHECK(grammar.allows(token_of("a")) && !grammar.allows(the));
    grammar.accept(token_of("a"));
    CHECK(grammar.allows(token_of(" th")) && !grammar.allows(the) && !grammar.allows(vocabulary().end()));
    grammar.accept(token_of(" th"));
    CHECK(grammar.allows(vocabulary().end()) && !grammar.allows(token_of("e")));
}
