"""Tools and `parse()` with Pydantic models, through the official Python client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from .questions import CAPITAL, MODEL, REVIEW, WEATHER, GetTime, GetWeather, Review

if TYPE_CHECKING:
    from openai import OpenAI

pytestmark = pytest.mark.timeout(300)

TOOLS: list[Any] = [openai.pydantic_function_tool(GetWeather), openai.pydantic_function_tool(GetTime)]
GREEDY: dict[str, Any] = {"model": MODEL, "temperature": 0, "max_tokens": 128}


def test_parse_returns_the_model(client: OpenAI) -> None:
    completion = client.chat.completions.parse(messages=REVIEW, response_format=Review, **GREEDY)
    review = completion.choices[0].message.parsed
    assert isinstance(review, Review)
    assert completion.choices[0].finish_reason == "stop"
    assert json.loads(completion.choices[0].message.content or "") == review.model_dump()


def test_parse_streamed(client: OpenAI) -> None:
    with client.chat.completions.stream(messages=REVIEW, response_format=Review, **GREEDY) as stream:
        kinds = {event.type for event in stream}
        completion = stream.get_final_completion()
    assert {"content.delta", "content.done"} <= kinds
    assert isinstance(completion.choices[0].message.parsed, Review)


def test_a_cut_answer_is_told_from_a_complete_one(client: OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(messages=REVIEW, response_format=Review, **(GREEDY | {"max_tokens": 2}))


def test_json_object(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        messages=REVIEW, response_format={"type": "json_object"}, **GREEDY
    )
    choice = completion.choices[0]
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content or ""), dict)
    else:
        assert choice.finish_reason == "length"
        assert (choice.message.content or "").lstrip().startswith("{")


def test_a_schema_that_cannot_be_enforced_is_refused(client: OpenAI) -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"age": {"type": "integer", "multipleOf": 7}},
    }
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            messages=REVIEW,
            response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": schema}},
            **GREEDY,
        )
    assert caught.value.param == "response_format.json_schema.schema.properties.age.multipleOf"


@pytest.mark.parametrize("name", ["GetWeather", "GetTime"])
def test_a_forced_tool_is_called(client: OpenAI, name: str) -> None:
    completion = client.chat.completions.parse(
        messages=WEATHER, tools=TOOLS, tool_choice={"type": "function", "function": {"name": name}}, **GREEDY
    )
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls or []
    assert call.type == "function"
    assert call.id.startswith("call_")
    assert call.function.name == name
    assert isinstance(call.function.parsed_arguments, {"GetWeather": GetWeather, "GetTime": GetTime}[name])


def test_some_tool_is_called_where_one_is_required(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        messages=WEATHER, tools=TOOLS, tool_choice="required", parallel_tool_calls=False, **GREEDY
    )
    (call,) = completion.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name in {"GetWeather", "GetTime"}
    assert json.loads(call.function.arguments)["city"] in {"Paris", "Tokyo"}


def test_no_tool_is_called_where_none_may_be(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        messages=CAPITAL, tools=TOOLS, tool_choice="none", **(GREEDY | {"max_tokens": 24})
    )
    assert completion.choices[0].message.tool_calls is None
    assert completion.choices[0].message.content


def test_a_streamed_call_names_the_tool_first(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        messages=WEATHER,
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "GetWeather"}},
        stream=True,
        **GREEDY,
    )
    choices = [choice for chunk in stream for choice in chunk.choices]
    deltas = [call for choice in choices for call in choice.delta.tool_calls or []]
    functions = [delta.function for delta in deltas if delta.function is not None]
    assert {delta.index for delta in deltas} == {0}
    assert functions[0].name == "GetWeather"
    assert all(function.name is None for function in functions[1:])
    assert [delta.id for delta in deltas if delta.id] == [deltas[0].id]
    pieces = [function.arguments or "" for function in functions]
    assert len([piece for piece in pieces if piece]) > 1
    GetWeather.model_validate_json("".join(pieces))
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["tool_calls"]


def test_the_stream_helper_parses_the_arguments(client: OpenAI) -> None:
    with client.chat.completions.stream(
        messages=WEATHER, tools=TOOLS, tool_choice="required", parallel_tool_calls=False, **GREEDY
    ) as stream:
        kinds = {event.type for event in stream}
        completion = stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in kinds
    (call,) = completion.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, (GetWeather, GetTime))


def test_a_conversation_goes_on_with_the_tool_s_result(client: OpenAI) -> None:
    asked = client.chat.completions.create(
        messages=WEATHER,
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "GetWeather"}},
        **GREEDY,
    )
    message = asked.choices[0].message
    (call,) = message.tool_calls or []
    history = [
        *WEATHER,
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": '{"degrees": 21}'},
    ]
    answered = client.chat.completions.create(
        messages=history, tools=TOOLS, tool_choice="none", **(GREEDY | {"max_tokens": 16})
    )
    assert answered.choices[0].message.content
