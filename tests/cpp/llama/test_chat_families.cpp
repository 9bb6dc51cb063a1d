#include <algorithm>
#include <filesystem>
#include <random>

#include "chat_families.h"
#include "chat_rig.h"
#include "check.h"

#include "chat/spelled_tools.h"

namespace llamad {

namespace {

std::string json_of(const std::string &text) { return common_json::parse(text).dump(); }

Answer meant(const Said &said) {
    Answer answer{.reasoning = said.reasoning, .content = said.content, .calls = {}};
    for (std::size_t i = 0; i < said.functions.size(); ++i) {
        answer.calls.emplace_back(said.functions[i], json_of(said.arguments[i]));
    }
    return answer;
}

// With the arguments' white space as JSON has it; throws where they are no JSON.
Answer normal(Answer answer) {
    for (auto &[name, arguments] : answer.calls) {
        arguments = json_of(arguments);
    }
    return answer;
}

std::vector<Said> everything_said() {
    std::vector<Said> all = said_calls;
    all.insert(all.end(), said_texts.begin(), said_texts.end());
    return all;
}

void check_in_random_pieces(const std::shared_ptr<const ChatFormat> &format, const std::string &output,
                            const Answer &answer, unsigned seed) {
    std::mt19937 random(seed);
    const Answer in_pieces = read_in_pieces(format, output, [&] { return random() % 20; });
    CHECK_EQ(in_pieces, answer);
}

} // namespace

TEST("an answer of every family is read, whole and in pieces") {
    unsigned seed = 0;
    for (const Said &said : everything_said()) {
        const auto format = format_of(said.family, ask(/*with_tools=*/true));
        const Answer whole = read_whole(format, said.output);
        CHECK_EQ(said.family + ": " + check::show(normal(whole)),
                 said.family + ": " + check::show(meant(said)));
        CHECK_EQ(read_by_character(format, said.output), whole);
        check_in_random_pieces(format, said.output, whole, ++seed);
    }
}

TEST("arguments arrive while they are said") {
    for (const Said &said : said_calls) {
        ChatParser parser(format_of(said.family, ask(/*with_tools=*/true)));
        // Up to the middle of the first call's arguments.
        const std::size_t middle = said.output.find("rich");
        if (middle == std::string::npos || said.output.find('"') > middle) {
            continue;
        }
        Answer early;
        early.add(parser.feed(std::string_view(said.output).substr(0, middle)));
        CHECK_EQ(said.family + (early.calls.empty() ? "" : early.calls.front().first),
                 said.family + said.functions.front());
        CHECK(early.calls.empty() || early.calls.front().second.find("city") != std::string::npos);
    }
}

// Whatever a model says, in whatever format: no exception, no crash, and pieces make no difference.
TEST("every template reads what no model of it says") {
    std::mt19937 random(1);
    for (const auto &entry : std::filesystem::directory_iterator(LLAMAD_TEST_TEMPLATES)) {
        if (entry.path().extension() != ".jinja") {
            continue;
        }
        const auto format = format_of(entry.path().stem(), ask(/*with_tools=*/true));
        for (const Said &said : everything_said()) {
            std::size_t size = random() % said.output.size();
            while (size > 0 && (static_cast<unsigned char>(said.output[size]) & 0xC0U) == 0x80U) {
                --size;
            }
            for (const std::string &output : {said.output, said.output.substr(0, size)}) {
                const Answer whole = read_whole(format, output);
                const Answer by_character = read_by_character(format, output);
                if (whole != by_character) {
                    check::fail(__FILE__, __LINE__,
                                entry.path().stem().string() + " reads \"" + output + "\" as " +
                                    check::show(whole) + ", but by character as " +
                                    check::show(by_character));
                }
            }
        }
    }
}

TEST("tools that a template does not know are called between tags") {
    for (const char *family :
         {"google-gemma-2-2b-it", "microsoft-Phi-3.5-mini-instruct", "HuggingFaceTB-SmolLM3-3B"}) {
        const common_chat_templates_ptr templates = read_template(template_path(family));
        common_chat_templates_inputs inputs = ask(/*with_tools=*/true);
        common_chat_params params =
            common_chat_templates_apply(templates.get(), with_tools_spelled_out(inputs));
        CHECK(params.prompt.find("\"name\":\"get_weather\"") != std::string::npos);
        read_spelled_calls(inputs, params);
        CHECK(params.grammar_lazy);
        const auto format = std::make_shared<const ChatFormat>(params);
        const Answer whole = read_whole(format, "So:\n" + tagged_calls);
        CHECK_EQ(whole.content, "So:\n");
        REQUIRE(whole.calls.size() == 2);
        CHECK_EQ(json_of(whole.calls[0].second), json_of(hard));
        CHECK_EQ(read_by_character(format, "So:\n" + tagged_calls), whole);
    }
}

TEST("results of spelled out calls come from the user, together") {
    common_chat_templates_inputs inputs = ask(/*with_tools=*/true);
    common_chat_msg &calling = inputs.messages.emplace_back();
    calling.role = "assistant";
    calling.tool_calls = {{.name = "get_time", .arguments = easy, .id = "1"},
                          {.name = "get_time", .arguments = easy, .id = "2"}};
    for (const char *result : {"noon", "one"}) {
        common_chat_msg &message = inputs.messages.emplace_back();
        message.role = "tool";
        message.content = result;
    }
    const common_chat_templates_inputs spelled = with_tools_spelled_out(inputs);
    CHECK(spelled.tools.empty());
    REQUIRE(spelled.messages.size() == 4);
    CHECK_EQ(spelled.messages[0].role, "system");
    CHECK_EQ(spelled.messages[2].content,
             "<tool_call>\n{\"name\": \"get_time\", \"arguments\": " + easy +
                 "}\n</tool_call>\n<tool_call>\n{\"name\": \"get_time\", \"arguments\": " + easy +
                 "}\n</tool_call>");
    CHECK_EQ(spelled.messages[3].role, "user");
    CHECK_EQ(spelled.messages[3].content, "<tool_response>\nnoon\n</tool_response>\n\n"
                                          "<tool_response>\none\n</tool_response>");
}

} // namespace llamad
