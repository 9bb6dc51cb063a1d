"""Rounds of tools: what is offered, called, answered and asked again."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
from llamad import ParameterError
from llamad.jobs import ChatJob
from llamad.results import ChatResult, Timings, Usage

from tests.python.support.jobs import (
    PLAIN_TOOL,
    SCHEMA,
    USER,
    Unit,
    called,
    chat,
    result,
)


def weather(city: str, unit: Unit = Unit.C) -> str:
    """Tell the weather."""
    return f"{city}: 20 {unit.value}"


async def weather_later(city: str) -> dict[str, Any]:
    """Tell the weather after a while."""
    await asyncio.sleep(0)
    return {"city": city, "thread": threading.get_ident()}


def failing() -> str:
    """Fail."""
    raise LookupError("the station is closed")


def fields(job: ChatJob) -> dict[str, Any]:
    return job.toolbox.fields


def names(job: ChatJob) -> list[str]:
    return [tool["function"]["name"] for tool in fields(job)["tools"]]


def test_tools_may_be_functions_and_dicts() -> None:
    job = chat(tools=[weather, PLAIN_TOOL])
    assert names(job) == ["weather", "elsewhere"]
    assert fields(job)["tool_choice"] == "auto"
    assert fields(chat()) == {}


@pytest.mark.parametrize(
    "choice", [weather, {"type": "function", "function": {"name": "weather"}}], ids=["function", "dict"]
)
def test_a_tool_can_be_required_by_name(choice: Any) -> None:
    job = chat(tools=[weather, failing], tool_choice=choice)
    assert (names(job), fields(job)["tool_choice"], fields(job)["parallel_tool_calls"]) == (
        ["weather"],
        "required",
        False,
    )


@pytest.mark.parametrize("mode", ["auto", "required", "none"])
def test_tools_can_be_required_or_forbidden(mode: Any) -> None:
    assert fields(chat(tools=[weather], tool_choice=mode))["tool_choice"] == mode


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"tools": "weather"}, "tools"),
        ({"tools": weather}, "tools"),
        ({"tools": PLAIN_TOOL}, "tools"),
        ({"tools": [weather, 3]}, "tools[1]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [weather, weather]}, "tools[1].function.name"),
        ({"tools": [lambda: None]}, "tools[0].function.name"),
        ({"tools": [weather], "tool_choice": failing}, "tool_choice"),
        ({"tools": [weather], "tool_choice": "weather"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [PLAIN_TOOL], "run_tools": True}, "run_tools"),
        ({"run_tools": True}, "run_tools"),
        ({"tools": [weather], "max_tool_rounds": 0}, "max_tool_rounds"),
        ({"tools": [weather], "json_schema": SCHEMA}, "json_schema"),
        (
            {"tools": [{"type": "function", "function": PLAIN_TOOL["function"] | {"strict": True}}]},  # type: ignore[operator]
            None,
        ),
        (
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "f",
                            "strict": True,
                            "parameters": {"type": "array", "items": {}, "uniqueItems": True},
                        },
                    }
                ]
            },
            "tools[0].function.parameters.uniqueItems",
        ),
    ],
)
def test_tools_that_cannot_be_honoured_are_refused(given: dict[str, Any], param: str | None) -> None:
    if param is None:  # a strict schema that is enforced passes
        assert chat(**given).toolbox.offered
        return
    with pytest.raises(ParameterError) as caught:
        chat(**given)
    assert caught.value.param == param


def test_a_schema_goes_with_tools_that_may_not_be_called() -> None:
    assert chat(tools=[weather], tool_choice="none", json_schema=SCHEMA).params.grammar


def test_a_round_runs_the_functions_and_asks_again() -> None:
    job = chat(tools=[weather, failing], tool_choice="required", run_tools=True)
    done = called(("weather", '{"city": "Rome"}'), ("weather", '{"city": "Oslo", "unit": "celsius"}'))
    following = job.follow_up(done)
    assert following is not None
    answers = [
        {"role": "tool", "tool_call_id": "call_0", "name": "weather", "content": "Rome: 20 celsius"},
        {"role": "tool", "tool_call_id": "call_1", "name": "weather", "content": "Oslo: 20 celsius"},
    ]
    assert following.messages == (USER, done.message, *answers)
    assert fields(following)["tool_choice"] == "auto"  # or it would have to call for ever
    assert following.rounds_left == job.rounds_left - 1


class NoParser:
    """What the engine prepared, where its output is the answer as it is."""

    def parser(self) -> None:
        return None


def finished(job: ChatJob, text: str) -> ChatResult:
    prepared: Any = NoParser()
    return job.finish(result(text), prepared)


def test_the_result_has_all_rounds() -> None:
    job = chat(tools=[weather], run_tools=True)
    done = called(("weather", '{"city": "Rome"}'))
    following = job.follow_up(done)
    assert following is not None
    answer = finished(following, "It is warm.")
    assert [message["role"] for message in answer.messages] == ["assistant", "tool", "assistant"]
    assert answer.message == {"role": "assistant", "content": "It is warm."}
    assert (answer.text, answer.tool_calls) == ("It is warm.", ())
    assert answer.usage == Usage(10, 4, 2)
    assert answer.timings == Timings(0.0, 2.0, 4.0)
    assert following.follow_up(answer) is None


def test_rounds_come_to_an_end_with_open_calls() -> None:
    job: ChatJob | None = chat(tools=[weather], run_tools=True, max_tool_rounds=2)
    done = called(("weather", '{"city": "Rome"}'))
    n_rounds = 0
    while job is not None and (following := job.follow_up(done)) is not None:
        n_rounds += 1
        job = following
    assert n_rounds == 2
    assert done.tool_calls


@pytest.mark.parametrize(
    ("given", "done"),
    [
        ({"tools": [weather]}, called(("weather", '{"city": "Rome"}'))),
        ({"tools": [weather], "run_tools": True}, called()),
        ({"tools": [weather], "run_tools": True}, called(("weather", '{"city": "Ro'), reason="length")),
        ({"tools": [weather], "run_tools": True}, called(("weather", '{"city": "Ro'), reason="cancelled")),
        (
            {"tools": [weather, PLAIN_TOOL], "run_tools": True},
            called(("weather", '{"city": "Rome"}'), ("elsewhere", "{}")),
        ),
    ],
    ids=["not asked for", "no calls", "cut off", "cancelled", "a call for somebody else"],
)
def test_calls_are_left_to_the_caller(given: dict[str, Any], done: ChatResult) -> None:
    job = chat(**given)
    assert job.follow_up(done) is None
    assert asyncio.run(job.follow_up_async(done)) is None


@pytest.mark.parametrize(
    ("call", "content"),
    [
        (("weather", "{}"), "Error: the arguments of weather are wrong: 'city' is missing"),
        (
            ("weather", '{"city": 3}'),
            "Error: the arguments of weather are wrong: city: must be a string, not 3",
        ),
        (
            ("weather", '{"city": '),
            "Error: the arguments of weather are wrong: the arguments of 'weather' are not JSON",
        ),
        (("wether", "{}"), "Error: there is no function 'wether'"),
    ],
)
def test_what_is_wrong_with_a_call_is_told_to_the_model(call: tuple[str, str], content: str) -> None:
    job = chat(tools=[weather], run_tools=True)
    for following in (job.follow_up(called(call)), asyncio.run(job.follow_up_async(called(call)))):
        assert following is not None
        assert following.messages[-1]["content"].startswith(content)


def test_arguments_that_no_template_could_write_are_told_in_the_answer_alone() -> None:
    job = chat(tools=[weather], run_tools=True)
    following = job.follow_up(called(("weather", '{"city": "Rome"}'), ("weather", "{city: Rome}")))
    assert following is not None
    _, asked, _, told = following.messages
    assert [call["function"]["arguments"] for call in asked["tool_calls"]] == ['{"city": "Rome"}', "{}"]
    assert "{city: Rome}" in told["content"]
    assert finished(following, "Sorry.").messages[0] == asked


def test_what_a_function_raises_comes_through_with_a_note() -> None:
    job = chat(tools=[failing], run_tools=True)
    done = called(("failing", "{}"))
    with pytest.raises(LookupError, match="the station is closed") as caught:
        job.follow_up(done)
    assert caught.value.__notes__ == ["while the model's call failing({}) was carried out"]
    with pytest.raises(LookupError) as caught:
        asyncio.run(job.follow_up_async(done))
    assert len(caught.value.__notes__) == 1


def test_coroutine_functions_are_awaited_and_others_run_in_a_thread() -> None:
    def here(city: str) -> int:
        """Tell the thread."""
        return threading.get_ident()

    job = chat(tools=[weather_later, here], run_tools=True)
    done = called(("weather_later", '{"city": "Rome"}'), ("here", '{"city": "Rome"}'))
    following = asyncio.run(job.follow_up_async(done))
    assert following is not None
    later, plain = (message["content"] for message in following.messages[-2:])
    assert later == f'{{"city":"Rome","thread":{threading.get_ident()}}}'
    assert plain != str(threading.get_ident())


def test_a_coroutine_function_needs_a_loop() -> None:
    job = chat(tools=[weather_later], run_tools=True)
    with pytest.raises(ParameterError, match=r"weather_later\(\) is a coroutine function.*AsyncEngine"):
        job.follow_up(called(("weather_later", '{"city": "Rome"}')))


def test_jobs_stay_as_they_are() -> None:
    job = chat(tools=[weather], tool_choice="required", run_tools=True)
    before = replace(job)
    job.follow_up(called(("weather", '{"city": "Rome"}')))
    assert job == before
    assert fields(job)["tool_choice"] == "required"
