#include <random>
#include <string>

#include "check.h"

#include "core/errors.h"
#include "core/grammar_check.h"

using namespace llamad;

namespace {

std::string times(int n, const std::string &text) {
    std::string result;
    for (int i = 0; i < n; ++i) {
        result += text;
    }
    return result;
}

// The message of the refusal; empty if the grammar passes.
std::string refusal(const std::string &grammar) {
    try {
        check_grammar(grammar);
        return "";
    } catch (const GrammarError &error) {
        return error.what();
    }
}

void check_passes(const std::string &grammar) { CHECK_EQ(refusal(grammar), ""); }

void check_refused(const std::string &grammar, const std::string &part) {
    const std::string message = refusal(grammar);
    CHECK(message.find(part) != std::string::npos);
    if (message.find(part) == std::string::npos) {
        CHECK_EQ(message, part);
    }
}

// "root ::= r1", "r1 ::= <alternative> | <alternative>", and so on, each naming the next.
std::string chain(int n, int n_alternatives) {
    const auto name = [](int i) { return std::string("r").append(std::to_string(i)); };
    std::string grammar = "root ::= r1\n";
    for (int i = 1; i < n; ++i) {
        grammar += name(i) + " ::= " + name(i + 1) + times(n_alternatives - 1, " | " + name(i + 1)) + "\n";
    }
    return grammar + name(n) + " ::= \"a\"\n";
}

} // namespace

TEST("grammars as people write them pass") {
    check_passes(R"(root ::= "yes" | "no")");
    check_passes(R"(# JSON
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws   # a comment, with "quotes" and (brackets
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20})");
    check_passes("root ::= <think> thought <[42]> !<end>* .{3,}\nthought ::= \"\"\r\n");
    check_passes("root ::= (\"(\"* \")\" [()]){2000}"); // brackets in literals are no groups
    std::string countries = "root ::= \"none\"";
    for (int i = 0; i < 1000; ++i) {
        countries += " | \"country " + std::to_string(i) + "\"";
    }
    check_passes(countries + " ");
}

TEST("what is not GBNF is refused with the line") {
    for (const char *text : {"root", "root ::", "root ::= (", "root ::= )", R"(root ::= "a)", "root ::= [a",
                             "root ::= *", R"(root ::= "a"{)", R"(root ::= "a"{1)", R"(root ::= "a"{x})",
                             "root ::= <a", R"(::= "a")", R"(root ::= "a\)", R"(root ::= "a" ; "b")"}) {
        check_refused(text, "line 1");
        check_refused("first ::= \"a\"\n\n" + std::string(text), "line 3");
    }
    check_passes("");
    check_passes(std::string("root ::= \"a\"\0(((", 16)); // llama.cpp stops at the zero byte
}

TEST("too many bytes") {
    check_refused(R"(root ::= "a" #)" + std::string(300'000, ' '), "at most 262144 bytes, got 300014");
}

TEST("groups within groups") {
    const auto nested = [](int n) { return "root ::= " + times(n, "(") + R"("a")" + times(n, ")"); };
    check_passes(nested(500));
    check_refused(nested(501), "nest at most 500 groups");
    check_refused(nested(60'000), "nest at most 500 groups");
    check_refused("root ::= " + times(60'000, "("), "nest at most 500 groups");
}

TEST("repetitions that would be written out at length") {
    check_passes(R"(root ::= ("a"{1000}){1000})"); // copies references, not characters
    check_passes("root ::= [a-z]{0,2000} [a-z]{1,2000}");
    check_passes(R"(root ::= ")" + std::string(500, 'a') + R"("{2000})");
    for (const char *often : {"{2000}", "{0,2000}", "{2000,}", "{1,2000}"}) {
        check_refused(R"(root ::= ")" + std::string(1000, 'a') + R"(")" + often, "written out");
        check_refused("root ::= [" + std::string(1000, 'a') + "]" + often, "written out");
        check_refused("root ::= " + times(200, R"("abcdef")" + std::string(often)), "written out");
    }
    check_refused(R"(root ::= "a"{99999999999999999999999})", "written out");
    check_passes(R"(root ::= "a"{0,99999999999999999999999})"); // llama.cpp takes that for "any number"
}

TEST("rules that begin with rules") {
    check_passes(chain(400, 1));
    check_refused(chain(5000, 1), "begin with each other");
    check_refused(chain(40, 2), "ways to go on"); // 2^40 paths
    check_refused("root ::= " + times(100, "(") + R"("a")" + times(100, R"( | ("b" | "c" | "d")))") + "?" +
                      times(3000, R"( | "e")"),
                  "ways to go on");
}

TEST("what can be left out, in a row") {
    const auto optional = [](int n) { return times(n, R"( "a"?)"); };
    check_passes("root ::=" + optional(200));
    check_refused("root ::=" + optional(300), "leaving something out");
    check_refused(R"(root ::= "x")" + optional(300), "leaving something out");
    check_refused(R"(root ::= "x" ("y")" + optional(300) + ")", "leaving something out");
    check_refused("root ::= \"x\" many \"y\"\nmany ::=" + times(100, " few") +
                      "\nfew ::= \"a\"? \"b\"* \"\" ",
                  "leaving something out");
    check_passes(R"(root ::= (("a"?){6}){6})");
    check_refused(R"(root ::= (((("a"?){6}){6}){6}){6})", "ways to go on");
    check_refused(R"(root ::= "a"?{20}{20})", "leaving something out");
    check_passes(R"(root ::= "a"{0,2000})"); // each copy only after the one before
    check_passes("root ::= many{0,5} \"x\"\nmany ::= \"0\"" + times(300, R"( | "a")"));
}

TEST("a rule that begins with itself ends the search too") {
    check_passes(R"(root ::= root "a" | "b")");
    check_passes("root ::= a\na ::= b | \"x\"\nb ::= a? c\nc ::= a");
}

TEST("whatever the text, it is read to an end or refused") {
    std::mt19937 random(1);
    const std::string alphabet = "ab-:=|()[]{}<>!*+?.,\"\\\n #019\xc3";
    int n_passed = 0;
    for (int round = 0; round < 100'000; ++round) {
        std::string text = "root ::= ";
        for (std::size_t i = random() % 20; i > 0; --i) {
            text += alphabet[random() % alphabet.size()];
        }
        n_passed += refusal(text).empty() ? 1 : 0;
    }
    CHECK(n_passed > 100 && n_passed < 100'000);
}
