#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

#include "check.h"
#include "grammar_rig.h"

#include "core/errors.h"

using namespace llamad;

namespace {

constexpr const char *kList = R"(root ::= "[" (item ("," item)*)? "]"
item ::= [a-z]{1,5} | [0-9]+ | "\"" [^"\n]* "\"")";

// Generates with both chains until the grammar's end, from random logits that seldom fit it.
std::string check_same_text(const SamplingParams &params, std::uint32_t seed) {
    std::mt19937 random(seed);
    LlamaSamplerChain ours(chain_vocabulary(), params, {}, kCtx);
    ReferenceChain theirs(params, vocabulary().size(), vocabulary().get());
    const llama_sampler_ptr grammar(
        llama_sampler_init_grammar(vocabulary().get(), params.grammar.c_str(), "root"));
    std::string text;
    Said said;
    const auto is_text = [&said](TokenId token) { return said.is_text(token); };
    for (int i = 0; i < 40; ++i) {
        Logits logits = row(random);
        const Logits before = logits;
        const TokenId token = ours.sample(logits);
        CHECK(logits == before);
        CHECK_EQ(token, theirs.draw(logits, grammar.get(), is_text));
        if (token == vocabulary().end()) {
            return text + "<end>";
        }
        theirs.accept(token);
        llama_sampler_accept(grammar.get(), token);
        text += vocabulary().piece(token);
        said.add(token);
    }
    return text;
}

} // namespace

TEST("with a grammar and the same seed, the tokens are llama.cpp's") {
    std::uint32_t seed = 0;
    for (const std::int32_t top_k : {1, 40, 384, 1000, 0}) {
        for (const float temperature : {0.0F, 0.8F, 2.0F}) {
            SamplingParams params;
            params.seed = ++seed;
            params.grammar = kList;
            params.top_k = top_k;
            params.temperature = temperature;
            params.repeat_penalty = top_k == 40 ? 1.3F : 1.0F;
            params.typical_p = 1;
            check_same_text(params, seed);
        }
    }
    SamplingParams min_p;
    min_p.seed = 1, min_p.grammar = kList, min_p.top_k = 0, min_p.top_p = 1;
    check_same_text(min_p, 77);
    SamplingParams mirostat;
    mirostat.seed = 1, mirostat.grammar = kList, mirostat.mirostat = 2;
    check_same_text(mirostat, 78);
}

TEST("a token that fits is taken without a look at the others, and one that does not is replaced") {
    SamplingParams params;
    params.grammar = R"(root ::= "yes" | "no")";
    std::mt19937 random(1);
    for (int round = 0; round < 20; ++round) {
        params.seed = round;
        LlamaSamplerChain chain(chain_vocabulary(), params, {}, kCtx);
        std::string text;
        for (int i = 0; i < 8; ++i) {
            Logits logits = row(random);
            const TokenId token = chain.sample(logits);
            if (token == vocabulary().end()) {
                break;
            }
            text += vocabulary().piece(token);
        }
        CHECK(text == "yes" || text == "no");
    }
}

TEST("a grammar that allows none of the tokens that are left is a dead end, not an abort") {
    SamplingParams params;
    params.grammar = R"(root ::= "ab")";
    for (TokenId token = 0; token < vocabulary().size(); ++token) {
        if (vocabulary().piece(token).starts_with('a')) {
            params.logit_bias.emplace_back(token, kMinusInf);
        }
    }
    std::mt19937 random(2);
    for (const std::int32_t top_k : {0, 40}) {
        params.top_k = top_k;
        LlamaSamplerChain chain(chain_vocabulary(), params, {}, kCtx);
        Logits logits = row(random);
        const Logits before = logits;
        CHECK_THROWS(std::runtime_error, chain.sample(logits));
        CHECK(logits == before);
    }
}

TEST("an end that comes too early is not taken") {
    SamplingParams params;
    params.grammar = R"(root ::= "yes")";
    LlamaSamplerChain chain(chain_vocabulary(), params, {}, kCtx);
    std::mt19937 random(3);
    Logits logits = row(random);
    logits[static_cast<std::size_t>(vocabulary().end())] = 100;
    CHECK(std::string("yes").starts_with(vocabulary().piece(chain.sample(logits))));
}

TEST("a grammar that cannot be read is refused") {
    for (const char *grammar :
         {"root ::= (", "not gbnf", "other ::= \"a\"", "root ::= root \"a\"", "root ::= x"}) {
        SamplingParams params;
        params.grammar = grammar;
        CHECK_THROWS(GrammarError, LlamaSamplerChain(chain_vocabulary(), params, {}, kCtx));
    }
}

TEST("grammars that explode are refused before llama.cpp reads them") {
    SamplingParams params;
    for (const std::string &grammar :
         {"root ::= " + std::string(60'000, '('), "root ::= \"" + std::string(50'000, 'a') + "\"{2000}"}) {
        params.grammar = grammar;
        CHECK_THROWS(GrammarError, LlamaSamplerChain(chain_vocabulary(), params, {}, kCtx));
    }
}

// Walks at random through what llama.cpp allows, and compares at each step what is allowed of the vocabulary.
// The first has 2^n readings of n letters that stay apart, the others such as meet again at once.
TEST("a grammar with twice as many readings at each token is given up") {
    SamplingParams params;
    params.grammar = R"(root ::= "a" root "b" | "a" root "c" | "x")";
    LlamaSamplerChain chain(chain_vocabulary(), params, {}, kCtx);
    Logits logits(static_cast<std::size_t>(vocabulary().size()));
    for (TokenId token = 0; token < vocabulary().size(); ++token) {
        logits[static_cast<std::size_t>(token)] = vocabulary().piece(token) == "a" ? 50.0F : 0.0F;
    }
    std::string message;
    for (int i = 0; i < 30 && message.empty(); ++i) { // 2^30 would not end
        try {
            chain.sample(logits);
        } catch (const std::runtime_error &error) {
            message = error.what();
        }
    }
    CHECK(message.find("too long") != std::string::npos);
}

TEST("DRY gives llama.cpp's tokens") {
    std::mt19937 random(4);
    SamplingParams params;
    params.seed = 3;
    params.temperature = 0;
    params.dry_multiplier = 0.8F;
    params.dry_penalty_last_n = 100;
    Logits logits = row(random);
    const auto likeliest =
        static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    Tokens prompt;
    for (int i = 0; i < 200; ++i) { // "a b x a b x ...": after "a b" DRY speaks against x
        prompt.push_back(i % 3 == 2 ? likeliest : 100 + i % 3);
    }
    LlamaSamplerChain ours(chain_vocabulary(), params, prompt, kCtx);
    ReferenceChain theirs(params, vocabulary().size(), vocabulary().get());
    for (const TokenId token : prompt) {
        theirs.accept(token);
    }
    for (int i = 0; i < 20; ++i) {
        const TokenId token = ours.sample(logits);
        CHECK_EQ(token, theirs.draw(logits));
        CHECK(i > 0 || token != likeliest);
        theirs.accept(token);
    }
}

TEST("a grammar that waits for its trigger holds from there on") {
    SamplingParams params;
    params.grammar = R"gbnf(root ::= "call(" [0-9]{3} ")")gbnf";
    params.of_template.triggers = {{.kind = Trigger::Kind::kWord, .text = "call("}};
    params.temperature = 0;
    LlamaSamplerChain chain(chain_vocabulary(), params, {}, kCtx);
    std::mt19937 random(5);
    const auto say = [&](std::string_view wanted) { // the model insists on these letters
        std::string said;
        while (said.size() < wanted.size()) {
            Logits logits = row(random);
            for (TokenId token = 0; token < vocabulary().size(); ++token) {
                const bool fits = vocabulary().piece(token) == wanted.substr(said.size(), 1);
                logits[static_cast<std::size_t>(token)] += fits ? 100.0F : 0.0F;
            }
            said += vocabulary().piece(chain.sample(logits));
        }
        return said;
    };
    CHECK(!chain.is_slow());
    CHECK_EQ(say("I call. "), "I call. ");
    CHECK_EQ(say("call("), "call(");
    CHECK(chain.is_slow());
    std::string rest;
    for (int i = 0; i < 9; ++i) {
        Logits logits = row(random);
        const TokenId token = chain.sample(logits);
        if (token == vocabulary().end()) {
            break;
        }
        rest += vocabulary().piece(token);
    }
    CHECK_EQ(rest.size(), 4U);
    CHECK(std::all_of(rest.begin(), rest.begin() + 3, [](char c) { return c >= '0' && c <= '9'; }));
    CHECK_EQ(rest.back(), ')');
}

TEST("a grammar goes on from what the prompt says already, and one that does not fit it is refused") {
    SamplingParams params;
    params.grammar = R"(root ::= "Answer: " ("yes" | "no"))";
    params.of_template.grammar_prefix = "Answer: ";
    std::mt19937 random(6);
    LlamaSamplerChain chain(chain_vocabulary(), params, {}, kCtx);
    std::string text;
    for (int i = 0; i < 4; ++i) {
        Logits logits = row(random);
        const TokenId token = chain.sample(logits);
        if (token == vocabulary().end()) {
            break;
        }
        text += vocabulary().piece(token);
    }
    CHECK(text == "yes" || text == "no");
    params.of_template.grammar_prefix = "Question: ";
    CHECK_THROWS(GrammarError, LlamaSamplerChain(chain_vocabulary(), params, {}, kCtx));
}

TEST("no end before min_tokens, and any afterwards") {
    for (const float temperature : {0.0F, 1.0F}) {
        SamplingParams params;
        params.min_tokens = 5;
        params.temperature = temperature;
        auto with_ends = chain_vocabulary();
        with_ends.ends = {vocabulary().end()};
        LlamaSamplerChain chain(with_ends, params, {}, kCtx);
        std::mt19937 random(8);
        for (int i = 0; i < 7; ++i) {
            Logits logits = row(random);
            logits[static_cast<std::size_t>(vocabulary().end())] = 1000;
            const Logits before = logits;
            CHECK_EQ(chain.sample(logits) == vocabulary().end(), i >= 5);
            CHECK(logits == before);
        }
    }
}
