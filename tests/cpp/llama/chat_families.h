// What models of many families say, written by hand after their templates, and what it means.
#pragma once

#include <string>
#include <vector>

namespace llamad {

struct Said {
    std::string family; // its template in llama.cpp's models/templates
    std::string output;
    std::string reasoning;
    std::string content;
    std::vector<std::string> functions;
    std::vector<std::string> arguments; // JSON
};

// Arguments with what is hard to stream: escapes, quotes, brackets in strings, nesting, other scripts.
inline const std::string hard =
    R"({"city": "Zürich \"x\" \n {] \u00e9", "days": 3, "options": {"a": [1, [2]], "b": "</tool_call>"}})";
inline const std::string easy = R"({"city": "Rome"})";
// The same as hard without quotes and escapes, for formats that write strings bare.
inline const std::string bare =
    R"({"city": "Zürich \"x\"\n {] é", "days": 3, "options": {"a": [1, [2]], "b": "<b>"}})";

// Two calls as JSON between tags, the commonest of all.
inline const std::string tagged_calls = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": " + hard +
                                        "}\n</tool_call>\n<tool_call>\n{\"name\": \"get_time\", "
                                        R"("arguments": )" +
                                        easy + "}\n</tool_call>";

// Two calls as Qwen3-Coder writes them.
inline const std::string coder_calls =
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nZürich \"x\"\n {] é\n</parameter>\n"
    "<parameter=days>\n3\n</parameter>\n<parameter=options>\n{\"a\": [1, [2]], \"b\": "
    "\"<b>\"}\n</parameter>\n"
    "</function>\n</tool_call>\n<tool_call>\n<function=get_time>\n<parameter=city>\nRome\n</parameter>\n"
    "</function>\n</tool_call>";

inline const std::vector<std::string> both{"get_weather", "get_time"};

inline const std::vector<Said> said_calls{
    {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
     "Let me look.\n" + tagged_calls,
     "",
     "Let me look.\n",
     both,
     {hard, easy}},
    {"Qwen-Qwen2.5-7B-Instruct", tagged_calls, "", "", both, {hard, easy}},
    {"ibm-granite-granite-4.0", tagged_calls, "", "", both, {hard, easy}},
    {"Qwen-Qwen3-0.6B",
     "<think>\nI look.\n</think>\n\nSo:\n" + tagged_calls,
     "I look.\n",
     "So:\n",
     both,
     {hard, easy}},
    {"Qwen-QwQ-32B", "I look.\n</think>\n\n" + tagged_calls, "I look.\n", "", both, {hard, easy}},
    {"meta-llama-Llama-3.1-8B-Instruct",
     R"({"name": "get_weather", "parameters": )" + hard + "}",
     "",
     "",
     {"get_weather"},
     {hard}},
    {"mistralai-Mistral-Nemo-Instruct-2407",
     R"([TOOL_CALLS][{"name": "get_weather", "arguments": )" + hard +
         R"(, "id": "abc123456"}, {"name": "get_time", "arguments": )" + easy + R"(, "id": "def123456"}])",
     "",
     "",
     both,
     {hard, easy}},
    {"Mistral-Small-3.2-24B-Instruct-2506",
     "[TOOL_CALLS]get_weather[CALL_ID]abc123456[ARGS]" + hard +
         "[TOOL_CALLS]get_time[CALL_ID]def123456[ARGS]" + easy,
     "",
     "",
     both,
     {hard, easy}},
    {"mistralai-Ministral-3-14B-Reasoning-2512",
     "[THINK]I look.[/THINK]So:[TOOL_CALLS]get_weather[ARGS]" + hard + "[TOOL_CALLS]get_time[ARGS]" + easy,
     "I look.",
     "So:",
     both,
     {hard, easy}},
    {"google-gemma-4-31B-it",
     "<|channel>thought\nI look.\n<channel|><|tool_call>call:get_weather{city:<|\"|>Zürich \"x\"\n {] "
     R"(é<|"|>,)"
     R"(days:3,options:{a:[1,[2]],b:<|"|><b><|"|>}}<tool_call|><|tool_call>call:get_time{city:<|"|>Rome<|"|)"
     ">}"
     "<tool_call|>",
     "I look.\n",
     "",
     both,
     {bare, easy}},
    {"Qwen3-Coder", "So:\n" + coder_calls, "", "So:\n", both, {bare, easy}},
    {"Qwen3.5-4B", "I look.\n</think>\n\nSo:\n" + coder_calls, "I look.\n", "So:\n", both, {bare, easy}},
    {"NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
     "I look.\n</think>\n" + coder_calls,
     "I look.\n",
     "",
     both,
     {bare, easy}},
    {"deepseek-ai-DeepSeek-V3.1",
     "I look.</think>So:<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>" + hard +
         "<｜tool▁call▁end｜><｜tool▁call▁begin｜>get_time<｜tool▁sep｜>" + easy +
         "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     "I look.",
     "So:",
     both,
     {hard, easy}},
    {"deepseek-ai-DeepSeek-V3.2",
     "I look.</think>So:\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n"
     "<｜DSML｜parameter name=\"city\" string=\"true\">Zürich \"x\"\n {] é</｜DSML｜parameter>\n"
     "<｜DSML｜parameter name=\"days\" string=\"false\">3</｜DSML｜parameter>\n"
     R"(<｜DSML｜parameter name="options" string="false">{"a": [1, [2]], "b": )"
     "\"<b>\"}</｜DSML｜parameter>\n"
     "</｜DSML｜invoke>\n<｜DSML｜invoke name=\"get_time\">\n"
     "<｜DSML｜parameter name=\"city\" string=\"true\">Rome</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
     "</｜DSML｜function_calls>",
     "I look.",
     "So:",
     both,
     {bare, easy}},
    {"openai-gpt-oss-120b",
     "<|channel|>analysis<|message|>I look.<|end|><|start|>assistant "
     "to=functions.get_weather<|channel|>commentary "
     "json<|message|>" +
         hard,
     "I look.",
     "",
     {"get_weather"},
     {hard}},
    {"GLM-4.6",
     "\n<think>I look.</think>\nSo:\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Zürich "
     "\"x\"\n {] "
     "é</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n<arg_key>options</arg_key>\n"
     "<arg_value>{\"a\": [1, [2]], \"b\": \"<b>\"}</arg_value>\n</tool_call>\n<tool_call>get_time\n"
     "<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n</tool_call>",
     "I look.",
     "So:\n",
     both,
     {bare, easy}},
    {"Kimi-K2-Instruct",
     "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>" +
         hard + "<|tool_call_end|><|tool_call_begin|>functions.get_time:1<|tool_call_argument_begin|>" +
         easy + "<|tool_call_end|><|tool_calls_section_end|>",
     "",
     "",
     both,
     {hard, easy}},
    {"CohereForAI-c4ai-command-r7b-12-2024-tool_use",
     "<|START_THINKING|>I look.<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", "
     R"("tool_name": )"
     R"("get_weather", "parameters": )" +
         hard + "},\n    {\"tool_call_id\": \"1\", \"tool_name\": \"get_time\", \"parameters\": " + easy +
         "}\n]<|END_ACTION|>",
     "I look.",
     "",
     both,
     {hard, easy}},
    {"meetkai-functionary-medium-v3.1",
     "So:<function=get_weather>" + hard + "</function><function=get_time>" + easy + "</function>",
     "",
     "So:",
     both,
     {hard, easy}},
    {"meetkai-functionary-medium-v3.2", "get_weather\n" + hard, "", "", {"get_weather"}, {hard}},
    {"LFM2-8B-A1B",
     R"(So:<|tool_call_start|>[get_weather(city="Zürich", days=3)]<|tool_call_end|>)",
     "",
     "So:",
     {"get_weather"},
     {R"({"city": "Zürich", "days": 3})"}},
};

// Outputs without calls, tools being offered.
inline const std::vector<Said> said_texts{
    {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
     "a < b, and <tool is no {tag}",
     "",
     "a < b, and <tool is no {tag}",
     {},
     {}},
    {"meta-llama-Llama-3.1-8B-Instruct",
     R"(Use {braces} and {"name": 1}.)",
     "",
     R"(Use {braces} and {"name": 1}.)",
     {},
     {}},
    {"Qwen-Qwen3-0.6B", "<think>\nWhy < not?\n</think>\n\nBecause.\n", "Why < not?\n", "Because.\n", {}, {}},
    {"Qwen-QwQ-32B", "Hm.\n</think>\n\nYes.", "Hm.\n", "Yes.", {}, {}},
    {"deepseek-ai-DeepSeek-V3.1", "</think>Yes.", "", "Yes.", {}, {}},
    {"deepseek-ai-DeepSeek-V3.1", "Hm.</think>\n\nYes.", "Hm.", "Yes.", {}, {}},
    {"openai-gpt-oss-120b",
     "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
     "Hm.",
     "Yes.",
     {},
     {}},
    {"openai-gpt-oss-120b", "<|channel|>final<|message|>Yes.", "", "Yes.", {}, {}},
    {"google-gemma-4-31B-it", "<|channel>thought\nHm.\n<channel|>Yes.", "Hm.\n", "Yes.", {}, {}},
    {"mistralai-Ministral-3-14B-Reasoning-2512", "[THINK]Hm.[/THINK]Yes [no].", "Hm.", "Yes [no].", {}, {}},
    {"meetkai-functionary-medium-v3.2", "all\nYes.", "", "Yes.", {}, {}},
};

} // namespace llamad
