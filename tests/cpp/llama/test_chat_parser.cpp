#include <algorithm>

#include "chat_families.h"
#include "chat_rig.h"
#include "check.h"

namespace llamad {

namespace {

constexpr const char *kHermes = "NousResearch-Hermes-3-Llama-3.1-8B-tool_use";
constexpr const char *kQwen3 = "Qwen-Qwen3-0.6B";

std::string words(std::size_t n) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) {
        text += i % 9 == 8 ? "\nso " : "and ";
    }
    return text;
}

struct Fed {
    Answer answer;
    std::size_t bytes_read = 0;
    std::size_t longest_silence = 0; // bytes fed without an event
};

// Feeds four bytes, as long as a token, at a time; ASCII only.
Fed feed_tokens(const std::shared_ptr<const ChatFormat> &format, const std::string &output) {
    ChatParser parser(format);
    Fed fed;
    std::size_t silent = 0;
    for (std::size_t i = 0; i < output.size(); i += 4) {
        const auto events = parser.feed(std::string_view(output).substr(i, 4));
        silent = events.empty() ? silent + 4 : 0;
        fed.longest_silence = std::max(fed.longest_silence, silent);
        fed.answer.add(events);
    }
    fed.answer.add(parser.finish());
    fed.bytes_read = parser.bytes_read();
    return fed;
}

// What llama.cpp's parser may read on the whole, and what the last readings may add.
std::size_t most_read(std::size_t size) { return 262'144 + (36 * size); }

} // namespace

TEST("text is not read again while it goes on") {
    const auto format = format_of(kQwen3, ask(/*with_tools=*/true));
    const std::string thoughts = words(4000);
    const std::string text = words(4000);
    const Fed fed = feed_tokens(format, "<think>\n" + thoughts + "\n</think>\n\n" + text);
    CHECK_EQ(fed.answer.reasoning, thoughts + "\n");
    CHECK_EQ(fed.answer.content, text);
    // Until the thinking begins, and around its end.
    CHECK(fed.bytes_read < 10 * (thoughts.size() + text.size()));
    CHECK(fed.longest_silence <= 32);
}

TEST("long arguments cost a multiple of their length, and arrive in pieces") {
    for (const char *family : {kHermes, "Qwen3-Coder"}) {
        const auto format = format_of(family, ask(/*with_tools=*/true));
        const std::string text = words(16'000);
        std::string city = common_json(text).dump();
        std::string output =
            "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {\"city\": " + city + "}}\n</tool_call>";
        if (family != kHermes) {
            output = "<tool_call>\n<function=get_time>\n<parameter=city>\n" + text +
                     "\n</parameter>\n</function>\n</tool_call>";
        }
        const Fed fed = feed_tokens(format, output);
        REQUIRE(fed.answer.calls.size() == 1);
        CHECK_EQ(common_json::parse(fed.answer.calls.front().second).at("city").get<std::string>(), text);
        CHECK(fed.bytes_read < most_read(output.size()));
        CHECK(fed.longest_silence < output.size() / 16);
    }
}

TEST("markers said a thousand times are not read a thousand times") {
    const auto format = format_of(kQwen3, ask(/*with_tools=*/true));
    for (const std::string marker : {"<tool_call>", "</think>", "<think>"}) {
        std::string output = "Well ";
        for (int i = 0; i < 5000; ++i) {
            output += marker + " and ";
        }
        const Fed fed = feed_tokens(format, output);
        CHECK(fed.bytes_read < most_read(output.size()));
        CHECK_EQ(fed.answer.content, output);
    }
}

TEST("brackets that nest deeper than a stack is text") {
    for (const char *family : {kHermes, "Qwen3-Coder", "LFM2-8B-A1B", "google-gemma-4-31B-it"}) {
        const auto format = format_of(family, ask(/*with_tools=*/true));
        // In strings of one kind or the other, brackets that close deceive who counts.
        for (const std::string decoy : {"", "\"]]]]]]]]\",", "']]]]]]]]',"}) {
            std::string output = "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {\"city\": ";
            if (family == std::string("LFM2-8B-A1B")) {
                output = "<|tool_call_start|>[get_time(options=";
            } else if (family == std::string("google-gemma-4-31B-it")) {
                output = "<|tool_call>call:get_time{options:";
            }
            for (int i = 0; i < 20'000; ++i) {
                output += "[[[[" + decoy;
            }
            Answer answer = read_whole(format, output);
            CHECK(!answer.content.empty());
            answer = read_in_pieces(format, output, [] { return 5000; });
            CHECK(!answer.content.empty());
        }
    }
}

TEST("what does not fit is content, from where it does not") {
    const auto format = format_of(kHermes, ask(/*with_tools=*/true));
    const auto read = [&](const std::string &output) {
        CHECK_EQ(read_by_character(format, output), read_whole(format, output));
        return read_whole(format, output);
    };
    CHECK_EQ(read("Look: <tool_call>nothing</tool_call> there").content,
             "Look: <tool_call>nothing</tool_call> there");
    CHECK_EQ(read("<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</tool_call>").content,
             "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</tool_call>");
    const Answer call_and_text =
        read("<tool_call>\n{\"name\": \"get_time\", \"arguments\": {\"city\": \"x\"}}\n</tool_call>\nDone.");
    CHECK_EQ(call_and_text.calls.size(), 1);
    CHECK_EQ(call_and_text.content, "Done.");
    CHECK_EQ(read("1 <").content, "1 <");
    CHECK_EQ(read("1 <tool").content, "1 <tool");
    CHECK_EQ(read("").content, "");
    CHECK_EQ(read(" \n").content, "");
}

TEST("a call that is cut keeps what has been said of it") {
    const auto format = format_of(kHermes, ask(/*with_tools=*/true));
    const Answer cut =
        read_by_character(format, "So <tool_call>\n{\"name\": \"get_time\", \"arguments\": {\"city\": \"Ro");
    CHECK_EQ(cut.content, "So ");
    REQUIRE(cut.calls.size() == 1);
    CHECK_EQ(cut.calls.front().second, "{\"city\": \"Ro");
    CHECK_EQ(read_by_character(format, "So <tool_call>\n{\"na").content, "So ");
}

TEST("what the prompt says already is not told") {
    common_chat_templates_inputs inputs = ask(/*with_tools=*/false);
    inputs.messages.emplace_back().role = "assistant";
    inputs.messages.back().content = "Once upon";
    inputs.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
    inputs.add_generation_prompt = false;
    for (const char *family :
         {kHermes, kQwen3, "openai-gpt-oss-120b", "mistralai-Ministral-3-14B-Reasoning-2512"}) {
        const auto format = format_of(family, inputs);
        const Answer answer = read_by_character(format, " a time < now");
        CHECK_EQ(answer, (Answer{.reasoning = "", .content = " a time < now", .calls = {}}));
    }
    inputs.messages.back().content = "";
    inputs.messages.back().reasoning_content = "Let me";
    const Answer answer = read_by_character(format_of(kQwen3, inputs), " think.\n</think>\n\nYes.");
    CHECK_EQ(answer, (Answer{.reasoning = " think.\n", .content = "Yes.", .calls = {}}));
}

TEST("a template that neither thinks nor calls has nothing to read") {
    CHECK(format_of(kHermes, ask(/*with_tools=*/false))->is_plain());
    CHECK(format_of("meta-llama-Llama-3.1-8B-Instruct", ask(/*with_tools=*/false))->is_plain());
    CHECK(!format_of(kHermes, ask(/*with_tools=*/true))->is_plain());
    CHECK(!format_of(kQwen3, ask(/*with_tools=*/false))->is_plain());
    CHECK(!format_of("openai-gpt-oss-120b", ask(/*with_tools=*/false))->is_plain());
    CHECK(!format_of("meetkai-functionary-medium-v3.2", ask(/*with_tools=*/false))->is_plain());
}

} // namespace llamad
