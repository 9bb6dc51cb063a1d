#include <string>

#include "check.h"
#include "vocabulary.h"

#include "chat/answer_grammar.h"
#include "llama/grammar.h"

namespace llamad {

namespace {

// "root" also as a string, in a class and in a comment, where it is no name.
constexpr const char *kYesOrRoot = R"(# root ::= "no"
root ::= answer | "root" [root]? | root-2
answer ::= "yes"
root-2 ::= "two"
)";

const Thinking optional_thinking{
    .start = "<think>", .ends = {"\n</think>", "</think>", "<tool_call>"}, .open = false};
const Thinking begun_thinking{.start = "<think>", .ends = {"</think>"}, .open = true};
const Thinking thinking_message{
    .start = "<|channel|>analysis<|message|>", .ends = {"<|end|>"}, .open = false};

enum class Verdict { kRefused, kMayGoOn, kMayEnd };

// What the grammar of an answer after thinking says of an output.
Verdict judge(const Thinking &thinking, const std::string &output) {
    static const TestVocabulary vocabulary;
    SamplingParams params;
    params.grammar = after_thinking(kYesOrRoot, thinking);
    Grammar grammar(vocabulary.get(), params);
    for (const TokenId token : vocabulary.tokenize(output)) {
        if (!grammar.allows(token)) {
            return Verdict::kRefused;
        }
        grammar.accept(token);
    }
    return grammar.allows(vocabulary.end()) ? Verdict::kMayEnd : Verdict::kMayGoOn;
}

} // namespace

TEST("thinking may be left out") {
    CHECK_EQ(judge(optional_thinking, "yes"), Verdict::kMayEnd);
    CHECK_EQ(judge(optional_thinking, "root"), Verdict::kMayEnd);
    CHECK_EQ(judge(optional_thinking, "roott"), Verdict::kMayEnd);
    CHECK_EQ(judge(optional_thinking, "two"), Verdict::kMayEnd);
    CHECK_EQ(judge(optional_thinking, "no"), Verdict::kRefused);
}

TEST("thinking is free up to its end, and the answer is not") {
    const std::string thoughts = "<think>Is it no? < << </ </thin </th</think>\n\n";
    CHECK_EQ(judge(optional_thinking, thoughts), Verdict::kMayGoOn);
    CHECK_EQ(judge(optional_thinking, thoughts + "yes"), Verdict::kMayEnd);
    CHECK_EQ(judge(optional_thinking, thoughts + "no"), Verdict::kRefused);
    CHECK_EQ(judge(optional_thinking, "<think>yes"), Verdict::kMayGoOn);
    CHECK_EQ(judge(optional_thinking, thoughts + thoughts), Verdict::kRefused);
}

TEST("what the prompt has begun has to be ended") {
    CHECK_EQ(judge(begun_thinking, "yes"), Verdict::kMayGoOn);
    CHECK_EQ(judge(begun_thinking, "Hm.</think>yes"), Verdict::kMayEnd);
    CHECK_EQ(judge(begun_thinking, "</think>root"), Verdict::kMayEnd);
    CHECK_EQ(judge(begun_thinking, "Hm.</think>no"), Verdict::kRefused);
}

TEST("gpt-oss answers in its final message") {
    CHECK_EQ(judge(thinking_message, "yes"), Verdict::kRefused);
    CHECK_EQ(judge(thinking_message, "<|channel|>final<|message|>yes"), Verdict::kMayEnd);
    CHECK_EQ(judge(thinking_message,
                   "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final"
                   "<|message|>yes"),
             Verdict::kMayEnd);
    CHECK_EQ(judge(thinking_message, "<|channel|>final<|message|>no"), Verdict::kRefused);
}

TEST("tags of other scripts end thinking too") {
    const Thinking other{.start = "◁think▷", .ends = {"◁/think▷"}, .open = false};
    CHECK_EQ(judge(other, "◁think▷Hm ◁ 思◁/think▷yes"), Verdict::kMayEnd);
    CHECK_EQ(judge(other, "◁think▷Hm◁/think▷no"), Verdict::kRefused);
}

} // namespace llamad
