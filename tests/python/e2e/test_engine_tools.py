"""Tools of an `Engine`: what is forced is enforced, and Python functions are run until there is an answer."""

from __future__ import annotations

import asyncio
import json
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args

import pytest
from jsonschema import validate
from llamad import AsyncEngine, Engine, ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 128}
"""Of the tokens of a call more than half may be blanks, as the model likes."""

ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add numbers.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {
                "numbers": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0, "maximum": 99},
                    "maxItems": 2,
                }
            },
            "required": ["numbers"],
            "additionalProperties": False,
        },
    },
}


City = Literal["Paris", "Rome", "Oslo"]


class Unit(Enum):
    C = "celsius"
    F = "fahrenheit"


@pytest.fixture(scope="module")
def engine(smollm2: Path) -> Iterator[Engine]:
    with Engine(smollm2, n_parallel=4, n_ctx=2048, n_threads=1) as engine:
        yield engine


def test_a_required_function_is_run_and_answered(engine: Engine) -> None:
    calls: list[tuple[str, Unit]] = []

    def get_weather(city: City, unit: Unit) -> str:
        """Tell the weather of a city."""
        calls.append((city, unit))
        return "Sunny, 25 degrees."

    answer = engine.chat(
        "What is the weather in Paris?",
        tools=[get_weather],
        tool_choice=get_weather,
        run_tools=True,
        max_tool_rounds=1,
        **GREEDY,
    )
    ((city, unit),) = calls
    assert city in get_args(City)
    assert unit in Unit
    asked, told, *rest = answer.messages
    assert asked["tool_calls"][0]["id"] == told["tool_call_id"]
    assert json.loads(asked["tool_calls"][0]["function"]["arguments"])["city"] == city
    assert told == told | {"role": "tool", "name": "get_weather", "content": "Sunny, 25 degrees."}
    assert [message["role"] for message in rest] == ["assistant"]
    assert answer.message["content"] == (answer.text or None)
    assert answer.usage.completion_tokens > len(answer.token_ids)


def test_many_conversations_call_at_once(engine: Engine) -> None:
    def note(city: City) -> None:
        """Note a city."""
        cities.append(city)

    cities: list[str] = []
    towns = ["Paris", "Rome", "Oslo"]
    answers = engine.chat(
        [f"I live in {town}. Note my city." for town in towns],
        tools=[note],
        tool_choice="required",
        run_tools=True,
        max_tool_rounds=1,
        **GREEDY,
    )
    assert len(answers) == 3
    assert len(cities) >= 3
    assert all(
        [message["role"] for message in answer.messages][:2] == ["assistant", "tool"] for answer in answers
    )


def test_strict_tools_are_enforced(engine: Engine) -> None:
    answers = engine.chat(["Add 3 and 4.", "Add 200 and 300."], tools=[ADD], tool_choice="required", **GREEDY)
    for answer in answers:
        assert (answer.finish_reason, answer.text) == ("stop", "")
        assert answer.message["content"] is None
        for call in answer.tool_calls:
            validate(call.parsed_arguments, ADD["function"]["parameters"])


def test_none_calls_nothing(engine: Engine) -> None:
    answer = engine.chat("Add 3 and 4.", tools=[ADD], tool_choice="none", **GREEDY | {"max_tokens": 12})
    assert answer.tool_calls == ()
    assert answer.text


def test_a_call_that_is_cut_off_is_not_run(engine: Engine) -> None:
    def never(text: str) -> None:
        """Write a long text."""
        raise AssertionError

    answer = engine.chat(
        "Write a story.", tools=[never], tool_choice="required", run_tools=True, **GREEDY | {"max_tokens": 12}
    )
    assert answer.finish_reason == "length"


def test_what_a_function_raises_reaches_the_caller(engine: Engine) -> None:
    def fail() -> None:
        """Fail."""
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing") as caught:
        engine.chat("Fail.", tools=[fail], tool_choice=fail, run_tools=True, **GREEDY)
    assert "while the model's call fail(" in caught.value.__notes__[0]
    assert engine.generate("hello", max_tokens=2).finish_reason == "length"


def test_a_parameter_that_cannot_be_said_is_named(engine: Engine) -> None:
    def load(data: bytes) -> None: ...

    with pytest.raises(ParameterError, match=r"tools\[0\]: the parameter 'data' of load\(\)"):
        engine.chat("Load.", tools=[load])


def test_coroutine_functions_are_awaited_by_an_async_engine(smollm2: Path) -> None:
    cities = []

    async def note(city: City) -> str:
        """Note a city."""
        await asyncio.sleep(0)
        cities.append(city)
        return "noted"

    async def ask() -> Any:
        async with await AsyncEngine.load(smollm2, n_parallel=2, n_ctx=1024, n_threads=1) as engine:
            return await engine.chat(
                "I live in Rome. Note my city.",
                tools=[note],
                tool_choice=note,
                run_tools=True,
                max_tool_rounds=1,
                **GREEDY,
            )

    answer = asyncio.run(ask())
    assert len(cities) == 1
    assert answer.messages[1]["content"] == "noted"
