"""What an `Engine` makes of its answers: parsed output, reasoning, and errors that say which it was."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pytest
from jsonschema import validate
from llamad import (
    AsyncEngine,
    ChatResult,
    ContextLengthError,
    Engine,
    ParameterError,
    Result,
    SamplingParams,
    TemplateError,
    _engine,
)
from llamad.jobs import chat_job
from llamad.request_options import DEFAULT
from llamad.results import Timings, Usage
from pydantic import BaseModel, Field, TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

THINKING = """
{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}
{%- if message.reasoning_content %}{{ '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{% endif %}
{{- message.content + '<|im_end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}
{%- endif %}"""

USER = {"role": "user", "content": "hello"}
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 80}


class Person(BaseModel):
    """Each field is bounded, so that no answer is cut off, whatever the model wants to write."""

    name: str = Field(max_length=12)
    age: int = Field(ge=0, le=150)
    mood: Literal["happy", "sad"]


@pytest.fixture(scope="module")
def smollm2_engine(smollm2: Path) -> Iterator[Engine]:
    with Engine(smollm2, n_parallel=4, n_ctx=1024, n_threads=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(tiny_model, n_parallel=2, n_ctx=512, n_threads=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def thinking(tiny_model: Path) -> Iterator[_engine.Engine]:
    config = _engine.EngineConfig(
        model_path=str(tiny_model), n_ctx=512, n_parallel=1, n_threads=1, chat_template=THINKING
    )
    native = _engine.Engine(config)
    yield native
    native.close()


def test_answers_are_models(smollm2_engine: Engine) -> None:
    questions = ["Ada is 36 and happy.", "Bob is 7 and sad."]
    people = smollm2_engine.chat(questions, json_schema=Person, **GREEDY)
    assert [type(answer) for answer in people] == [ChatResult, ChatResult]
    for answer in people:
        assert answer.parsed == Person.model_validate_json(answer.text)
    assert people.to_dicts()[0]["parsed"]["mood"] in {"happy", "sad"}


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 99},
            "minItems": 2,
            "maxItems": 3,
        },
        {"enum": ["red", "green"]},
    ],
    ids=["array", "enum"],
)
def test_completions_fit_a_schema(engine: Engine, schema: dict[str, Any]) -> None:
    """The weights are random: what is written fits because nothing else can be."""
    results = engine.generate(
        [f"hello {index}" for index in range(8)], json_schema=schema, max_tokens=60, seed=1
    )
    for result in results:
        assert result.finish_reason == "stop"
        validate(result.parsed, schema)


def test_an_adapter_gives_what_it_is_for(engine: Engine) -> None:
    mood = engine.generate("hello", json_schema=TypeAdapter(Literal["happy", "sad"]), max_tokens=20)
    assert mood.parsed in {"happy", "sad"}


def test_choices_and_streams_fit_a_schema(engine: Engine, tiny_model: Path) -> None:
    mood = TypeAdapter(Literal["happy", "sad"])
    chosen = engine.choices("hello", n=3, best_of=4, json_schema=mood, max_tokens=20)
    assert {result.parsed for result in chosen} <= {"happy", "sad"}
    text = "".join(delta.text for delta in engine.stream("hello", json_schema=mood, max_tokens=20))
    assert mood.validate_json(text) in {"happy", "sad"}

    async def awaited() -> list[Result]:
        async with await AsyncEngine.load(tiny_model, n_parallel=2, n_ctx=512, n_threads=1) as loaded:
            stream = await loaded.stream("hello", json_schema=mood, max_tokens=20)
            streamed = await stream.wait()
            assert stream.result is streamed
            return [streamed, *await loaded.choices("hello", n=2, json_schema=mood, max_tokens=20)]

    for result in asyncio.run(awaited()):
        assert result.parsed == mood.validate_json(result.text)


def test_what_was_cut_off_is_not_parsed(engine: Engine) -> None:
    result = engine.generate("hello", json_schema={"type": "string", "minLength": 60}, max_tokens=3)
    assert (result.finish_reason, result.parsed) == ("length", None)
    assert result.text.startswith('"')


def test_one_of_many_has_parameters_of_its_own(engine: Engine) -> None:
    results = engine.generate(["hello"] * 3, [SamplingParams.greedy(max_tokens=count) for count in (1, 2, 3)])
    assert [result.usage.completion_tokens for result in results] == [1, 2, 3]


@pytest.mark.parametrize(
    ("prompt", "error"),
    [("hello " * 2000, ContextLengthError), ([10**6], ParameterError), ([], ParameterError)],
    ids=["long", "unknown token", "empty"],
)
def test_an_error_says_which_prompt_it_was(engine: Engine, prompt: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^prompt 2: ") as caught:
        engine.generate(["hello", "world", prompt], max_tokens=1)
    assert getattr(caught.value, "param", "") == "prompts[2]"


def test_an_error_says_which_message_it_was(engine: Engine) -> None:
    with pytest.raises(TemplateError, match=r"^conversation 1: messages\[1\]") as caught:
        engine.chat([[USER], [USER, {"role": "user"}]], max_tokens=1)
    assert caught.value.param == "conversations[1].messages[1]"
    with pytest.raises(TemplateError, match=r"^messages\[0\]") as caught:
        engine.chat([{"role": "user"}], max_tokens=1)
    assert caught.value.param == "messages[0]"


def test_what_json_cannot_say_is_refused(engine: Engine) -> None:
    with pytest.raises(ParameterError, match="the conversation is not JSON"):
        engine.chat([{"role": "user", "content": object()}])


def test_the_conversation_goes_on(engine: Engine) -> None:
    first = engine.chat([USER], max_tokens=4, temperature=0)
    assert first.message == {"role": "assistant", "content": first.text}
    longer = engine.chat([USER, *first.messages, USER], max_tokens=4, temperature=0)
    assert longer.usage.prompt_tokens > first.usage.prompt_tokens


def test_a_text_is_a_message_of_the_user(engine: Engine) -> None:
    assert (
        engine.chat("hello", max_tokens=4, temperature=0).text
        == engine.chat([USER], max_tokens=4, temperature=0).text
    )


def answered(native: _engine.Engine, text: str, **given: Any) -> ChatResult:
    """What a chat makes of a text that the model might have written."""
    job = chat_job([USER], options=DEFAULT, overrides={}, **given)
    written = Result(text, [1, 2], "stop", None, Usage(1, 2, 0), Timings(0, 0, 1))
    prepared = job.prepare(native)
    make = job.delta_maker(prepared)
    pieces = [(char, False) for char in text] + [("", True)]
    deltas = [make(piece, [1], None, is_last) for piece, is_last in pieces]
    whole = job.finish(written, prepared)
    content, reasoning = (
        "".join(getattr(one, name) for one in deltas if one) for name in ("text", "reasoning")
    )
    assert (content, reasoning or None) == (whole.text, whole.reasoning)
    return whole


def test_reasoning_is_kept_apart(thinking: _engine.Engine) -> None:
    answer = answered(thinking, "<think>\nIs it day?</think>\n\nblue")
    assert (answer.text, answer.reasoning) == ("blue", "Is it day?")
    assert answer.message == {"role": "assistant", "content": "blue", "reasoning_content": "Is it day?"}
    assert "reasoning" in answer._repr_html_()


def test_what_follows_reasoning_is_parsed(thinking: _engine.Engine) -> None:
    answer = answered(thinking, "<think>\nHow many?</think>\n\n[1, 2]", json_schema={"type": "array"})
    assert (answer.parsed, answer.reasoning) == ([1, 2], "How many?")


def test_a_template_takes_arguments(thinking: _engine.Engine) -> None:
    prompts = [
        chat_job([USER], options=DEFAULT, overrides={}, template_kwargs=arguments).prepare(thinking)
        for arguments in (None, {"enable_thinking": True}, {"enable_thinking": False})
    ]
    lengths = [prompt.n_prompt_tokens for prompt in prompts]
    assert lengths[0] == lengths[1] < lengths[2]


def test_streams_are_what_the_whole_is(engine: Engine) -> None:
    deltas = list(engine.stream_chat("hello", max_tokens=24, temperature=0))
    whole = engine.chat("hello", max_tokens=24, temperature=0)
    assert "".join(delta.text for delta in deltas) == whole.text
    assert [token for delta in deltas for token in delta.token_ids] == whole.token_ids


def test_only_the_parsed_value_is_added(engine: Engine) -> None:
    grammar = 'root ::= "[1]"'
    plain = engine.generate("hello", grammar=grammar, max_tokens=20)
    parsed = engine.generate("hello", json_schema={"const": [1]}, max_tokens=20)
    assert replace(parsed, parsed=None, timings=plain.timings, usage=plain.usage) == plain
