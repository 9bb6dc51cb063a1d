"""Tool calls of a real model through the official client: forced ones satisfy the tool's schema."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.python.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(240)

README = Path(__file__).resolve().parents[3] / "README.md"

SCHEMAS: dict[str, dict[str, Any]] = {
    "get_weather": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 12},
            "unit": {"enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
        },
        "required": ["city", "unit", "days"],
        "additionalProperties": False,
    },
    "add": {
        "type": "object",
        "properties": {
            "numbers": {"type": "array", "items": {"type": "integer", "maximum": 999}, "maxItems": 3}
        },
        "required": ["numbers"],
        "additionalProperties": False,
    },
    "now": {"type": "object", "properties": {}, "additionalProperties": False},
}
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "description": f"Call {name}.", "parameters": schema}}
    for name, schema in SCHEMAS.items()
]
QUESTION: Any = [{"role": "user", "content": "What is the weather in Paris in celsius for 3 days?"}]


def named(name: str) -> Any:
    return {"type": "function", "function": {"name": name}}


CHOICES = ["required", *(named(name) for name in SCHEMAS)]


@pytest.fixture
def client(smollm2_server: ServerProcess) -> Iterator[openai.OpenAI]:
    with smollm2_server.client() as client:
        yield client


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    given = {"messages": QUESTION, "tools": TOOLS, "max_tokens": 160, "temperature": 0} | fields
    return client.chat.completions.create(model="SmolLM2-135M-Instruct.Q4_1", **given)


def check(call: Any, choice: Any) -> None:
    if choice != "required":
        assert call.function.name == choice["function"]["name"]
    jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_forced_call(client: openai.OpenAI, choice: Any) -> None:
    (answer,) = ask(client, tool_choice=choice, parallel_tool_calls=False).choices
    assert answer.finish_reason == "tool_calls"
    assert answer.message.content is None
    (call,) = answer.message.tool_calls
    assert (call.type, call.id[:5]) == ("function", "call_")
    check(call, choice)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_forced_call_is_streamed_name_first(client: openai.OpenAI, choice: Any) -> None:
    chunks = [chunk.choices[0] for chunk in ask(client, tool_choice=choice, stream=True)]
    assert chunks[-1].finish_reason == "tool_calls"
    pieces = [call for chunk in chunks for call in chunk.delta.tool_calls or ()]
    assert not any(chunk.delta.content for chunk in chunks)
    for index in {piece.index for piece in pieces}:
        first, *rest = [piece for piece in pieces if piece.index == index]
        assert first.id
        assert first.function.name in SCHEMAS
        assert all(piece.id is None and piece.function.name is None for piece in rest)
        first.function.arguments += "".join(piece.function.arguments for piece in rest)
        check(first, choice)


def test_streamed_is_what_the_whole_answer_says(client: openai.OpenAI) -> None:
    ask(client, tool_choice=named("get_weather"), max_tokens=1)  # both then find the prompt in the cache
    (whole,) = ask(client, tool_choice=named("get_weather")).choices
    with client.chat.completions.stream(
        model="SmolLM2-135M-Instruct.Q4_1",
        messages=QUESTION,
        tools=TOOLS,
        tool_choice=named("get_weather"),
        max_tokens=160,
        temperature=0,
    ) as stream:
        (streamed,) = stream.get_final_completion().choices
    assert streamed.message.tool_calls is not None
    assert streamed.message.tool_calls[0].function.arguments == whole.message.tool_calls[0].function.arguments
    assert streamed.finish_reason == whole.finish_reason == "tool_calls"


def test_each_choice_makes_a_call_of_its_own(client: openai.OpenAI) -> None:
    answers = ask(client, n=3, seed=1, temperature=1, tool_choice=named("add")).choices
    ids = [answer.message.tool_calls[0].id for answer in answers]
    assert len(set(ids)) == 3
    for answer in answers:
        check(answer.message.tool_calls[0], named("add"))


def test_only_allowed_tools_are_called(client: openai.OpenAI) -> None:
    allowed = {"mode": "required", "tools": [named("now")]}
    (answer,) = ask(client, tool_choice={"type": "allowed_tools", "allowed_tools": allowed}).choices
    assert {call.function.name for call in answer.message.tool_calls} == {"now"}


def test_none_calls_nothing(client: openai.OpenAI) -> None:
    (answer,) = ask(client, tool_choice="none", max_tokens=16).choices
    assert answer.message.tool_calls is None
    assert answer.message.content


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_that_is_cut_says_so(client: openai.OpenAI, stream: bool) -> None:
    answer = ask(client, tool_choice=named("get_weather"), max_tokens=12, stream=stream)
    choice = list(answer)[-1].choices[0] if stream else answer.choices[0]
    assert choice.finish_reason == "length"


def test_a_result_goes_back_to_the_model(client: openai.OpenAI) -> None:
    """The message that was answered with is accepted as it is, and the answer goes on from the result."""
    message = ask(client, tool_choice=named("get_weather")).choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": '{"sky": "blue"}'}
    messages = [*QUESTION, message, result]
    ask(client, messages=messages, tool_choice="none", max_tokens=1)  # both then find the prompt in the cache
    (answer,) = ask(client, messages=messages, tool_choice="none", max_tokens=24).choices
    assert answer.message.content
    dumped = [*QUESTION, message.model_dump(), result]
    (again,) = ask(client, messages=dumped, tool_choice="none", max_tokens=24).choices
    assert again.message.content == answer.message.content


def test_log_probabilities_go_along_with_a_streamed_call(client: openai.OpenAI) -> None:
    # Both then find the prompt in the cache.
    ask(client, tool_choice=named("now"), parallel_tool_calls=False, max_tokens=1)
    chunks = ask(client, tool_choice=named("now"), stream=True, logprobs=True, parallel_tool_calls=False)
    choices = [chunk.choices[0] for chunk in chunks]
    tokens = [one for choice in choices if choice.logprobs for one in choice.logprobs.content]
    (whole,) = ask(client, tool_choice=named("now"), logprobs=True, parallel_tool_calls=False).choices
    assert [one.token for one in tokens] == [one.token for one in whole.logprobs.content]
    assert "now" in "".join(one.token for one in tokens)


def test_the_example_of_the_readme_runs(smollm2_server: ServerProcess) -> None:
    section = README.read_text().split("## Tools and structured output\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    code = code.replace("http://127.0.0.1:8080", smollm2_server.url)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_tool_that_the_template_cannot_take_is_named(client: openai.OpenAI) -> None:
    bad = {"type": "function", "function": {"name": "bad", "parameters": {"type": "nonsense"}}}
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, tools=[TOOLS[0], bad], tool_choice="required")
    assert caught.value.param == "tools[1].function.parameters"


@pytest.mark.parametrize("field", ["ignore_eos", "min_tokens"])
def test_what_a_call_cannot_do_without_end_is_blamed_on_the_tools(client: openai.OpenAI, field: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, extra_body={field: 1 if field == "min_tokens" else True})
    assert caught.value.param == field
    assert "tools" in caught.value.message
    assert "grammar" not in caught.value.message
