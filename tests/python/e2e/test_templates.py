"""Chat templates through the native engine: prompts, tools, thinking, and how outputs are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from llamad import _engine, errors

from tests.python.support import tiny_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

WAIT_S = 60.0

USER = {"role": "user", "content": "hello"}

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "set_unit",
        "description": "Choose a unit",
        "parameters": {
            "type": "object",
            "properties": {"unit": {"enum": ["metric", "imperial"]}},
            "required": ["unit"],
            "additionalProperties": False,
        },
    },
}

THINKING = """
{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}
{%- if message.reasoning_content %}{{ '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{% endif %}
{{- message.content + '<|im_end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}
{%- endif %}"""


def load(path: Path) -> _engine.Engine:
    return _engine.Engine(_engine.EngineConfig(model_path=str(path), n_ctx=1024, n_parallel=2, n_threads=1))


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[_engine.Engine]:
    engine = load(tiny_model)
    yield engine
    engine.close()


def conversation(*messages: dict[str, Any], **fields: Any) -> str:
    return json.dumps({"messages": list(messages) or [USER], **fields})


def prepare(
    engine: _engine.Engine, conversation_json: str, *, max_tokens: int = 200, **sampling: Any
) -> _engine.Prepared:
    params = _engine.SamplingParams(temperature=0, max_tokens=max_tokens, **sampling)
    return engine.prepare_chat(conversation_json, params, stream=True)


def run(engine: _engine.Engine, prepared: _engine.Prepared) -> tuple[list[str], _engine.Finish]:
    """Run a request of one choice alone: its text in the pieces it came in."""
    engine.submit(prepared)
    pieces = []
    while engine.wait(WAIT_S):
        for _, text, _, _, finish in engine.drain():
            pieces.append(text)
            if finish is not None:
                return pieces, finish
    raise TimeoutError


def read(parser: _engine.ChatParser | None, pieces: list[str]) -> tuple[str, str, list[tuple[str, str]]]:
    """Reasoning, content and calls (function, arguments) of an output."""
    assert parser is not None
    texts = {"reasoning": "", "content": ""}
    calls: list[tuple[str, str]] = []
    events = [event for piece in pieces for event in parser.feed(piece)] + parser.finish()
    for event in events:
        if event[0] == "tool_call":
            _, index, name, arguments = event
            if index == len(calls):
                calls.append((name, arguments))
            else:
                assert name == ""
                calls[index] = (calls[index][0], calls[index][1] + arguments)
        else:
            texts[event[0]] += event[1]
    return texts["reasoning"], texts["content"], calls


def test_a_plain_chat_has_nothing_to_read(engine: _engine.Engine) -> None:
    assert prepare(engine, conversation()).parser() is None
    assert prepare(engine, conversation(tools=[])).parser() is None
    expected = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert engine.apply_template(conversation()) == expected
    assert engine.apply_template(conversation().encode()) == expected


def test_nulls_are_as_good_as_nothing(engine: _engine.Engine) -> None:
    fields = (
        "tools", "tool_choice", "parallel_tool_calls", "chat_template_kwargs", "reasoning_effort",
        "reasoning_format", "continue_final_message", "chat_template",
    )  # fmt: skip
    nulls = conversation(**dict.fromkeys(fields))
    assert engine.apply_template(nulls) == engine.apply_template(conversation())


@pytest.mark.parametrize("chat_template", [None, THINKING])
@pytest.mark.parametrize("tools", [[], [TOOL]])
def test_what_is_kept_of_a_template_changes_nothing(
    tiny_model: Path, engine: _engine.Engine, chat_template: str | None, tools: list[dict[str, Any]]
) -> None:
    fields = {"chat_template": chat_template, "tools": tools}
    second = conversation({"role": "system", "content": "be brief"}, USER, **fields)
    for _ in range(2):
        assert "hello" in engine.apply_template(conversation(**fields))
    fresh = load(tiny_model)
    try:
        assert engine.apply_template(second) == fresh.apply_template(second)
    finally:
        fresh.close()


def test_a_forced_call_is_a_call(engine: _engine.Engine) -> None:
    prepared = prepare(engine, conversation(tools=[TOOL], tool_choice="required", parallel_tool_calls=False))
    pieces, finish = run(engine, prepared)
    assert finish.finish_reason == "stop"
    reasoning, content, calls = read(prepared.parser(), pieces)
    assert (reasoning, content) == ("", "")
    assert [name for name, _ in calls] == ["set_unit"]
    assert json.loads(calls[0][1])["unit"] in {"metric", "imperial"}
    assert read(prepared.parser(), ["".join(pieces)])[2] == calls


def test_smollm2_calls_a_tool(smollm2: Path) -> None:
    engine = load(smollm2)
    try:
        assert engine.info.quantization == "Q4_1"
        messages = {"role": "user", "content": "Use metric units, please."}
        prepared = prepare(engine, conversation(messages, tools=[TOOL], tool_choice="required"))
        _, _, calls = read(prepared.parser(), run(engine, prepared)[0])
    finally:
        engine.close()
    assert calls[0][0] == "set_unit"
    assert json.loads(calls[0][1]) == {"unit": "metric"}


def test_tools_that_may_not_be_called_are_not_read(engine: _engine.Engine) -> None:
    assert prepare(engine, conversation(tools=[TOOL], tool_choice="none")).parser() is None
    assert prepare(engine, conversation(tools=[TOOL])).parser() is not None


def test_calls_and_their_results_are_in_the_prompt(engine: _engine.Engine) -> None:
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "set_unit", "arguments": '{"unit": "metric"}'},
    }
    text = engine.apply_template(
        conversation(
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "done"},
            tools=[TOOL],
        )
    )
    assert '<tool_call>\n{"name": "set_unit", "arguments": {"unit": "metric"}}\n</tool_call>' in text
    assert "<tool_response>\ndone\n</tool_response>" in text
    assert "Choose a unit" in text


def test_thinking_is_read_apart(engine: _engine.Engine) -> None:
    prepared = prepare(engine, conversation(chat_template=THINKING))
    pieces = ["<th", "ink>\nHm", ".\n</thi", "nk>\n", "\nYes < no.", " <"]
    assert read(prepared.parser(), pieces) == ("Hm.\n", "Yes < no. <", [])
    assert read(prepared.parser(), ["No."]) == ("", "No.", [])
    unread = prepare(engine, conversation(chat_template=THINKING, reasoning_format="none"))
    assert unread.parser() is None


def test_thinking_is_switched_off(engine: _engine.Engine) -> None:
    ends = {
        engine.apply_template(conversation(chat_template=THINKING, **fields)).rpartition("assistant\n")[2]
        for fields in ({"chat_template_kwargs": {"enable_thinking": False}}, {"reasoning_effort": "none"})
    }
    assert ends == {"<think>\n\n</think>\n\n"}


def test_an_answer_of_a_grammar_without_thinking(engine: _engine.Engine) -> None:
    without = conversation(chat_template=THINKING, chat_template_kwargs={"enable_thinking": False})
    prepared = prepare(engine, without, grammar='root ::= "yes" | "no"')
    pieces, _ = run(engine, prepared)
    _, content, _ = read(prepared.parser(), pieces)
    assert content in {"yes", "no"}


def test_an_answer_of_a_grammar_after_thinking(engine: _engine.Engine) -> None:
    """The prompt has begun the thinking, which nothing but its end may follow: here at once."""
    begun = THINKING.replace("<think>\n\n</think>\n\n", "<think>\n").replace("not enable_thinking", "true")
    end = engine.tokenize("</think>", add_special=False)
    prepared = prepare(
        engine,
        conversation(chat_template=begun),
        grammar='root ::= "yes"',
        logit_bias=[(token, 1000.0) for token in set(end)],
        max_tokens=40,
    )
    pieces, finish = run(engine, prepared)
    _, content, _ = read(prepared.parser(), pieces)
    assert (finish.finish_reason, content) in {("stop", "yes"), ("length", "")}


def test_the_last_message_is_continued(engine: _engine.Engine) -> None:
    begun = conversation(USER, {"role": "assistant", "content": "The"}, continue_final_message=True)
    assert engine.apply_template(begun).endswith("<|im_start|>assistant\nThe")
    assert prepare(engine, begun).parser() is None
    thinking = json.loads(begun) | {"chat_template": THINKING}
    assert read(prepare(engine, json.dumps(thinking)).parser(), [" story"]) == ("", " story", [])


BAD_PARAMETERS = TOOL | {"function": TOOL["function"] | {"name": "b", "parameters": {"type": "nonsense"}}}
BAD_TYPE = TOOL | {"function": TOOL["function"] | {"name": "b", "parameters": [1]}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [USER, {"role": "user"}]}, "messages[1]"),
        ({"messages": [USER, 1]}, "messages[1]"),
        ({"tools": 1}, "tools"),
        ({"tools": [TOOL, {"type": "magic"}]}, "tools[1]"),
        ({"tools": [TOOL, BAD_TYPE]}, "tools[1].function.parameters"),
        ({"tools": [TOOL, BAD_PARAMETERS], "tool_choice": "required"}, "tools[1].function.parameters"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
        ({"chat_template_kwargs": []}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"enable_thinking": "no"}}, "chat_template_kwargs.enable_thinking"),
        ({"reasoning_effort": 1}, "reasoning_effort"),
        ({"reasoning_format": "deepseek"}, "reasoning_format"),
        ({"continue_final_message": True}, "continue_final_message"),
        ({"chat_template": "{% if %}"}, "chat_template"),
        ({"chat_template": "{{ raise_exception('no') }}"}, "messages"),
    ],
)
def test_errors_name_the_field(engine: _engine.Engine, fields: dict[str, Any], param: str) -> None:
    with pytest.raises((errors.ParameterError, errors.TemplateError)) as raised:
        prepare(engine, json.dumps({"messages": [USER]} | fields))
    assert raised.value.param == param
    assert param in str(raised.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"messages": ' + "[" * 100_000, '{"messages": ["\\ud800"]}']
)
def test_what_is_no_conversation(engine: _engine.Engine, text: str) -> None:
    with pytest.raises(errors.RequestError):
        engine.apply_template(text)


def test_a_grammar_cannot_go_with_tools(engine: _engine.Engine) -> None:
    with pytest.raises(errors.ParameterError) as raised:
        prepare(engine, conversation(tools=[TOOL]), grammar='root ::= "yes"')
    assert raised.value.param == "response_format"
    prepare(engine, conversation(tools=[TOOL], tool_choice="none"), grammar='root ::= "yes"')


def test_the_model_says_what_it_is(engine: _engine.Engine) -> None:
    info = engine.info
    assert (info.quantization, info.vocab_type) == ("F32", "bpe")
    assert (info.bos_token, info.eos_token) == (tiny_tokenizer.BOS, tiny_tokenizer.END_OF_TURN)
    assert not info.can_infill
    assert not info.thinks
    assert not info.has_tools_template


def test_pieces_of_tokens_are_bytes(engine: _engine.Engine) -> None:
    text = "hello wörld"
    tokens = engine.tokenize(text, add_special=False)
    assert b"".join(engine.token_pieces(tokens)) == text.encode()
    assert engine.token_pieces([tiny_tokenizer.END_OF_TURN_ID]) == [tiny_tokenizer.END_OF_TURN.encode()]
    assert engine.token_pieces([]) == []
    with pytest.raises(errors.ParameterError):
        engine.token_pieces([engine.info.n_vocab])
