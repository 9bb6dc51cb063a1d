"""Jobs without an engine: one or many, whose parameters, what a schema makes of a text, rounds of tools."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from llamad import ParameterError, SamplingParams
from llamad.errors import OutputError
from llamad.jobs import (
    ChatJob,
    chat_job,
    chat_jobs,
    completion_job,
    completion_jobs,
    is_one_conversation,
    is_one_prompt,
)
from llamad.jobs.output import Output
from llamad.request_options import DEFAULT
from llamad.results import ChatResult, Result, Timings, ToolCall, Usage
from pydantic import BaseModel, TypeAdapter, field_validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

USER = {"role": "user", "content": "hello"}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
PLAIN_TOOL = {"type": "function", "function": {"name": "elsewhere", "parameters": SCHEMA}}

NOBODY: Any = None
"""Where no engine is asked."""

TABLE = pd.DataFrame({"prompt": ["a", "b"]})


class Count(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def _even(cls, n: int) -> int:
        if n % 2:
            raise ValueError("must be even")
        return n


class Unit(Enum):
    C = "celsius"


def result(text: str, reason: Any = "stop") -> Result:
    return Result(text, [1], reason, None, Usage(5, 2, 1), Timings(0.0, 1.0, 2.0))


def completion(prompt: Any, params: Any = None, **given: Any) -> Any:
    schema = given.pop("json_schema", None)
    return completion_job(prompt, params, options=DEFAULT, json_schema=schema, overrides=given)


def completions(prompts: Any, params: Any = None, **given: Any) -> Any:
    schema = given.pop("json_schema", None)
    return completion_jobs(prompts, params, options=DEFAULT, json_schema=schema, overrides=given)


def chat(messages: Any = "hello", params: Any = None, **given: Any) -> ChatJob:
    return chat_job(messages, params, options=DEFAULT, overrides={}, **given)


# One or many.


@pytest.mark.parametrize("prompt", ["", "text", [1, 2], (1,), np.array([1, 2]), [np.int64(3)]], ids=repr)
def test_a_text_or_token_ids_are_one_prompt(prompt: Any) -> None:
    assert is_one_prompt(prompt)
    assert isinstance(completion(prompt).prompt, str | list)


@pytest.mark.parametrize(
    "prompts", [[], ["a"], [[1], [2]], ("a", "b"), iter(["a"]), {"a"}, TABLE["prompt"], np.array([[1, 2]])]
)
def test_other_iterables_are_many_prompts(prompts: Any) -> None:
    assert not is_one_prompt(prompts)
    assert all(job.prompt for job in completions(prompts))


@pytest.mark.parametrize("messages", ["", "hi", [USER], (USER, USER)], ids=repr)
def test_a_text_or_messages_are_one_conversation(messages: Any) -> None:
    assert is_one_conversation(messages)
    assert all(message["role"] == "user" for message in chat(messages).messages)


@pytest.mark.parametrize("conversations", [[], ["hi"], [[USER], "hi"], iter([[USER]]), ([USER],)])
def test_other_iterables_are_many_conversations(conversations: Any) -> None:
    assert not is_one_conversation(conversations)
    (job,) = chat_jobs([[USER]], options=DEFAULT, overrides={})
    assert isinstance(job, ChatJob)
    assert job.messages == (USER,)


@pytest.mark.parametrize("ask", [is_one_prompt, is_one_conversation])
@pytest.mark.parametrize("value", [None, 3, b"bytes", {"role": "user"}, TABLE], ids=repr)
def test_what_is_neither_is_refused(ask: Callable[[Any], bool], value: Any) -> None:
    with pytest.raises(ParameterError, match=r"must be a text, a list of .* or an iterable of those, got"):
        ask(value)


@pytest.mark.parametrize("wrong", [None, 1.5, [1, "a"], [True], b"x", [[1]], [-1], [2**40]], ids=repr)
def test_one_of_many_that_is_no_prompt_is_named(wrong: Any) -> None:
    jobs = completions(["fine", wrong])
    assert next(jobs).name == "prompt 0"
    refused = next(jobs)
    assert refused.name == "prompt 1"
    with pytest.raises(ParameterError, match=r"prompts\[1\] must be a text or a list of token ids") as caught:
        refused.prepare(NOBODY)
    assert caught.value.param == "prompts[1]"


def test_half_a_character_is_no_prompt() -> None:
    with pytest.raises(ParameterError, match=r"prompts\[0\] must be a text .* half a surrogate pair at 3"):
        next(completions(["abc\ud800"])).prepare(NOBODY)


@pytest.mark.parametrize("many", ["a text", None, 3, b"bytes", {"a": 1}, TABLE], ids=repr)
def test_what_holds_no_items_is_refused(many: Any) -> None:
    with pytest.raises(ParameterError, match="prompts must be an iterable of texts or lists of token ids"):
        completions(many)
    with pytest.raises(ParameterError, match="conversations must be an iterable of texts or lists of mess"):
        chat_jobs(many, options=DEFAULT, overrides={})


def test_what_says_nothing_of_sampling_or_scheduling_is_refused() -> None:
    wrong: Any
    for wrong in ({"temperature": 0}, [SamplingParams()], 3):
        with pytest.raises(ParameterError, match=r"^params must be SamplingParams, or None, got") as caught:
            completion_job("hello", wrong, options=DEFAULT, overrides={"max_tokens": 1})
        assert caught.value.param == "params"
    for wrong in (None, {"priority": 1}):
        with pytest.raises(ParameterError, match=r"^options must be RequestOptions, got"):
            completion_job("hello", options=wrong, overrides={})
        with pytest.raises(ParameterError, match=r"^options must be RequestOptions, got"):
            chat_jobs(["hello"], options=wrong, overrides={})
    for wrong in ("abc", 3, ["a"]):
        with pytest.raises(ParameterError, match=r"^template_kwargs must be a mapping .*, got"):
            chat_job("hello", options=DEFAULT, template_kwargs=wrong, overrides={})


@pytest.mark.parametrize("wrong", [None, 1.5, USER, ["hi"], b"x"], ids=repr)
def test_one_of_many_that_is_no_conversation_is_named(wrong: Any) -> None:
    jobs = chat_jobs([[USER], wrong], options=DEFAULT, overrides={})
    assert next(jobs).name == "conversation 0"
    refused = next(jobs)
    assert refused.name == "conversation 1"
    with pytest.raises(ParameterError, match=r"conversations\[1\] must be a text or a list of messages"):
        refused.prepare(NOBODY)


def test_prompts_are_read_as_jobs_are_asked_for() -> None:
    n_read = 0

    def prompts() -> Iterator[str]:
        nonlocal n_read
        for index in range(1000):
            n_read += 1
            yield str(index)

    jobs = completions(prompts())
    assert n_read == 0
    assert [next(jobs).prompt, next(jobs).prompt] == ["0", "1"]
    assert n_read == 2


# Parameters.


def test_overrides_go_over_parameters() -> None:
    assert completion("a", SamplingParams(seed=1, top_k=5), seed=2).params == SamplingParams(seed=2, top_k=5)
    assert completion("a").params == SamplingParams()


def test_each_may_have_parameters_of_its_own() -> None:
    jobs = list(completions(["a", "b"], [SamplingParams(seed=1), SamplingParams(seed=2)], max_tokens=3))
    assert [(job.params.seed, job.params.max_tokens) for job in jobs] == [(1, 3), (2, 3)]


@pytest.mark.parametrize("n_params", [1, 3])
@pytest.mark.parametrize("sized", [True, False])
def test_as_many_parameters_as_prompts(n_params: int, sized: bool) -> None:
    prompts: Any = ["a", "b"] if sized else iter(["a", "b"])
    with pytest.raises(ParameterError, match=rf"params has {n_params} entries for .* prompts") as caught:
        list(completions(prompts, [SamplingParams()] * n_params))
    assert caught.value.param == "params"


@pytest.mark.parametrize("params", [3, "greedy", [{"seed": 1}, {"seed": 2}]], ids=repr)
def test_what_is_no_parameters_is_refused(params: Any) -> None:
    with pytest.raises(ParameterError, match="params must be a SamplingParams or a list of them"):
        completions(["a", "b"], params)


def test_mistakes_for_all_are_told_before_anything_is_read() -> None:
    with pytest.raises(ParameterError, match="temprature"):
        completions(iter([]), temprature=1)
    with pytest.raises(ParameterError, match="json_schema"):
        completions(iter([]), json_schema={"type": "strin"})


# Schemas.


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (SCHEMA, {"n": 4}),
        (Count, Count(n=4)),
        (TypeAdapter(dict[str, int]), {"n": 4}),
        (TypeAdapter(Count), Count(n=4)),
    ],
    ids=["dict", "model", "adapter", "adapter of a model"],
)
def test_a_text_is_parsed_to_what_was_asked_for(schema: Any, expected: Any) -> None:
    job = completion("a", json_schema=schema)
    assert "root ::=" in job.params.grammar
    done = job.finish(result('{"n": 4}'), None)
    assert (done.parsed, done.text) == (expected, '{"n": 4}')


def test_without_a_schema_a_result_stays_as_it_is() -> None:
    given = result('{"n": 4}')
    assert completion("a").finish(given, None) is given


@pytest.mark.parametrize("reason", ["length", "cancelled", "stop"])
@pytest.mark.parametrize("schema", [SCHEMA, Count])
def test_a_text_that_was_cut_is_not_parsed(schema: Any, reason: Any) -> None:
    assert completion("a", json_schema=schema).finish(result('{"n": 4', reason), None).parsed is None


@pytest.mark.parametrize(
    ("text", "reason", "stop_string", "parsed"),
    [
        ("12", "stop", None, 12),
        ("12", "length", None, None),  # of 123, perhaps
        ("-1.5", "cancelled", None, None),
        ("1", "stop", ".", None),
        ("[12]", "length", None, [12]),  # the end of the text had no room, but nothing is missing
        ('"12"', "stop", "\n", "12"),
        ("true", "length", None, True),
    ],
)
def test_only_a_number_may_go_on(text: str, reason: Any, stop_string: str | None, parsed: Any) -> None:
    written = replace(result(text, reason), stop_string=stop_string)
    assert completion("a", json_schema={}).finish(written, None).parsed == parsed


def test_a_class_that_refuses_an_answer_says_so() -> None:
    job = completion("a", json_schema=Count)
    with pytest.raises(OutputError, match="must be even") as caught:
        job.finish(result('{"n": 3}'), None)
    assert caught.value.result is not None
    assert caught.value.result.text == '{"n": 3}'


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "strin"}, "json_schema.type"),
        ({"type": "array", "uniqueItems": True}, "json_schema.uniqueItems"),
        (int, "must be a JSON Schema .* got <class 'int'>"),
        ("{}", "must be a JSON Schema .* got str"),
        ({"enum": [1j]}, "json_schema is not JSON"),
    ],
)
def test_schemas_that_cannot_be_enforced_are_refused(schema: Any, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason) as caught:
        Output.of(schema)
    assert str(caught.value.param).startswith("json_schema")


def test_a_schema_and_a_grammar_exclude_each_other() -> None:
    with pytest.raises(ParameterError, match="'json_schema' and 'grammar'"):
        completion("a", json_schema=SCHEMA, grammar='root ::= "a"')


# Tools.


def called(*calls: tuple[str, str], text: str = "", reason: Any = "stop") -> ChatResult:
    """The answer of a model that has made these calls."""
    made = tuple(ToolCall(f"call_{index}", *call) for index, call in enumerate(calls))
    message = {"role": "assistant", "content": None, "tool_calls": [call.to_dict() for call in made]}
    given = {"token_ids": [1], "finish_reason": reason, "stop_string": None, "tool_calls": made}
    return ChatResult(
        text=text, usage=Usage(5, 2, 1), timings=Timings(0.0, 1.0, 2.0), messages=(message,), **given
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


@pytest.mark.parametrize("value", ["caf\ud800", {"name": "caf\ud800"}], ids=["a text", "within"])
def test_half_a_character_that_a_function_returns_is_replaced(value: Any) -> None:
    def find() -> Any:
        return value

    following = chat(tools=[find], run_tools=True).follow_up(called(("find", "{}")))
    assert following is not None
    assert "caf?" in following.messages[-1]["content"] or r"caf\ud800" in following.messages[-1]["content"]
    following.messages[-1]["content"].encode()


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


class Closed:
    def __str__(self) -> str:
        return "closed"


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        ({"a": [1, 2.5, True]}, '{"a":[1,2.5,true]}'),
        ({1: "one"}, '{"1":"one"}'),
        ({"a"}, '["a"]'),
        ([Count(n=2)], '[{"n":2}]'),
        (np.array([1.5, 2.0]), "[1.5,2.0]"),
        (Closed(), '"closed"'),
        (Unit.C, '"celsius"'),
    ],
)
def test_values_are_told_as_json(value: Any, content: str) -> None:
    def give() -> Any:
        """Give something."""
        return value

    following = chat(tools=[give], run_tools=True).follow_up(called(("give", "{}")))
    assert following is not None
    assert following.messages[-1]["content"] == content


def test_a_value_that_contains_itself_is_told_somehow() -> None:
    endless: list[Any] = []
    endless.append(endless)

    def give() -> Any:
        """Give something."""
        return endless

    following = chat(tools=[give], run_tools=True).follow_up(called(("give", "{}")))
    assert following is not None
    assert following.messages[-1]["content"] == "[[...]]"


def test_jobs_stay_as_they_are() -> None:
    job = chat(tools=[weather], tool_choice="required", run_tools=True)
    before = replace(job)
    job.follow_up(called(("weather", '{"city": "Rome"}')))
    assert job == before
    assert fields(job)["tool_choice"] == "required"
