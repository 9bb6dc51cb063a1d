"""What a chat may ask for besides text, of a real model: forms, thoughts, tokens, a beginning."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import openai
import pytest
from llamad import Engine

from tests.python.unit.test_api_table import ENDPOINTS, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.python.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(240)

MODEL = "SmolLM2-135M-Instruct.Q4_1"

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 12},
        "age": {"type": "integer", "minimum": 1, "maximum": 99},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}

THINKING = """
{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}
{%- if message.reasoning_content %}{{ '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{% endif %}
{{- message.content + '<|im_end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}
{%- endif %}"""
"""A template that thinks, for a model that does so once it has seen how."""


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def thoughtful() -> list[Any]:
    messages = []
    for one, other in ((2, 3), (5, 1), (4, 4)):
        answer = {"content": f"It is {one + other}.", "reasoning_content": f"I add {other} to {one}."}
        messages += [user(f"What is {one} and {other}?"), {"role": "assistant"} | answer]
    return [*messages, user("What is 6 and 2?")]


@pytest.fixture
def client(smollm2_server: ServerProcess) -> Iterator[openai.OpenAI]:
    with smollm2_server.client() as client:
        yield client


def ask(client: openai.OpenAI, messages: list[Any] | str, *, stream: bool = False, **fields: Any) -> Any:
    said: Any = [user(messages)] if isinstance(messages, str) else messages
    given = {"max_tokens": 24, "temperature": 0} | fields
    return client.chat.completions.create(model=MODEL, messages=said, stream=stream, extra_body=given)


def think(client: openai.OpenAI, **fields: Any) -> Any:
    given: dict[str, Any] = {"chat_template": THINKING, "max_tokens": 60} | fields
    return ask(client, thoughtful(), **given)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_answers_of_a_schema_validate(client: openai.OpenAI, strict: bool, seed: int) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": strict}}
    fields: dict[str, Any] = {
        "response_format": form,
        "max_tokens": 200,
        "temperature": 1,
        "seed": seed,
        "n": 2,
    }
    for choice in ask(client, "Describe a person.", **fields).choices:
        assert choice.finish_reason == "stop"
        jsonschema.validate(json.loads(choice.message.content), PERSON)


def test_an_answer_of_a_schema_that_is_cut_says_so(client: openai.OpenAI) -> None:
    (choice,) = ask(client, "Describe a person.", json_schema=PERSON, max_tokens=5).choices
    assert choice.finish_reason == "length"


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"guided_choice": ["apple", "pear"]}, {"apple", "pear"}),
        ({"guided_regex": "[a-c]{2}"}, {one + other for one in "abc" for other in "abc"}),
        ({"grammar": 'root ::= "yes" | "no"'}, {"yes", "no"}),
        ({"structured_outputs": {"choice": ["left", "right"]}}, {"left", "right"}),
    ],
)
def test_other_forms(client: openai.OpenAI, fields: dict[str, Any], allowed: set[str]) -> None:
    assert ask(client, "Which one?", **fields).choices[0].message.content in allowed
    chunks = ask(client, "Which one?", stream=True, **fields)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) in allowed


def test_a_grammar_that_does_not_parse_is_blamed_on_its_field(client: openai.OpenAI) -> None:
    for field in ("grammar", "guided_grammar"):
        given: dict[str, Any] = {field: "root ::= ("}
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, "Hi", **given)
        assert caught.value.param == field


def test_thoughts_are_told_apart(client: openai.OpenAI) -> None:
    (choice,) = think(client).choices
    assert choice.message.reasoning_content.startswith("I add")
    assert choice.message.content.startswith("It is")
    chunks = [chunk.choices[0] for chunk in think(client, stream=True)]
    told = {"reasoning_content": "", "content": ""}
    for name in told:
        told[name] = "".join(getattr(chunk.delta, name, None) or "" for chunk in chunks)
    assert told["reasoning_content"] == choice.message.reasoning_content
    assert told["content"] == choice.message.content
    assert chunks[-1].finish_reason == choice.finish_reason == "stop"


@pytest.mark.parametrize("n", [1, 2])
def test_thoughts_are_counted(client: openai.OpenAI, smollm2: Path, n: int) -> None:
    answer = think(client, n=n)
    (*_, last) = think(client, n=n, stream=True, stream_options={"include_usage": True})
    assert last.usage.completion_tokens_details == answer.usage.completion_tokens_details
    with Engine(smollm2, n_ctx=64, n_parallel=1, n_threads=1) as engine:
        # The model cuts its own text as the tokenizer does, but perhaps where thoughts and markup meet.
        alone = [
            len(engine.tokenize(choice.message.reasoning_content, add_special=False))
            for choice in answer.choices
        ]
    counted = answer.usage.completion_tokens_details.reasoning_tokens
    assert abs(counted - sum(alone)) <= n
    assert counted < answer.usage.completion_tokens
    plain = ask(client, "Hello", n=n)
    assert plain.usage.completion_tokens_details.reasoning_tokens == 0


def test_thoughts_may_stay_in_the_content(client: openai.OpenAI) -> None:
    message = think(client, reasoning_format="none").choices[0].message
    assert message.content.startswith("<think>\nI add")
    assert not hasattr(message, "reasoning_content")


@pytest.mark.parametrize(
    "fields", [{"chat_template_kwargs": {"enable_thinking": False}}, {"reasoning_effort": "none"}]
)
def test_thinking_can_be_switched_off(client: openai.OpenAI, fields: dict[str, Any]) -> None:
    message = think(client, **fields).choices[0].message
    assert not hasattr(message, "reasoning_content")
    assert "<think>" not in message.content


def test_a_form_leaves_thoughts_free(client: openai.OpenAI) -> None:
    message = think(client, guided_regex="It is [0-9]\\.").choices[0].message
    assert message.reasoning_content.startswith("I add")
    assert message.content == "It is 8."


def test_the_last_message_is_continued(client: openai.OpenAI) -> None:
    begun = [user("Count."), {"role": "assistant", "content": "one two three"}]
    continued = ask(client, begun, return_token_ids=True)
    anew = ask(client, begun, return_token_ids=True, add_generation_prompt=True)
    # The turn that is continued has not ended: nothing of the template stands behind it.
    shared = continued.prompt_token_ids
    assert anew.prompt_token_ids[: len(shared)] == shared
    assert len(anew.prompt_token_ids) > len(shared)
    assert not continued.choices[0].message.content.startswith("one two three")


def test_an_empty_message_is_as_good_as_none(client: openai.OpenAI) -> None:
    asked = ask(client, "Count.", return_token_ids=True).prompt_token_ids
    begun = [user("Count."), {"role": "assistant", "content": ""}]
    assert ask(client, begun, return_token_ids=True).prompt_token_ids == asked


def test_log_probabilities_spell_the_answer(client: openai.OpenAI) -> None:
    (choice,) = ask(client, "Say é and 日本 please.", logprobs=True, top_logprobs=3).choices
    tokens = choice.logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode() == choice.message.content
    for token in tokens:
        assert token.logprob <= 0
        # Greedy: what was taken is the likeliest, and comes first.
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token
        assert token.top_logprobs[0].logprob == token.logprob
        assert token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob >= token.top_logprobs[2].logprob


def test_streamed_choices_have_log_probabilities_of_their_own(client: openai.OpenAI) -> None:
    spelled: dict[int, bytes] = {0: b"", 1: b""}
    texts = {0: "", 1: ""}
    for chunk in ask(client, "Hello", stream=True, logprobs=True, n=2, temperature=1, seed=3):
        (choice,) = chunk.choices
        texts[choice.index] += choice.delta.content or ""
        for token in choice.logprobs.content if choice.logprobs else ():
            spelled[choice.index] += bytes(token.bytes)
    assert {index: text.encode() for index, text in texts.items()} == spelled
    assert texts[0] != texts[1]


def test_at_least_so_many_tokens(client: openai.OpenAI) -> None:
    question = "Answer with one word: yes or no?"
    free = ask(client, question, max_tokens=64).usage.completion_tokens
    assert free < 40
    assert ask(client, question, max_tokens=64, min_tokens=40).usage.completion_tokens >= 40


def test_what_a_row_of_the_documentation_refuses_is_refused(tiny_server: ServerProcess) -> None:
    """Every field of the table, with a wrong value: 400, and the field is named."""
    heading = "Chat completions"
    rows = rows_of(heading)
    assert len(rows) == len(ENDPOINTS[heading].fields)
    with tiny_server.client() as client:
        for row in rows:
            body = ENDPOINTS[heading].least | row.refused
            with pytest.raises(openai.BadRequestError) as caught:
                client.post("/chat/completions", body=body, cast_to=object)
            param = caught.value.param or ""
            assert param.startswith(row.field), row
            assert param.removeprefix(row.field)[:1] in {"", ".", "["}, row


def test_what_a_row_of_the_documentation_takes_is_taken(tiny_server: ServerProcess) -> None:
    heading = "Chat completions"
    with tiny_server.client() as client:
        for row in rows_of(heading):
            body = ENDPOINTS[heading].least | {"max_tokens": 5} | row.example | {"model": "tiny"}
            response = client.chat.completions.with_raw_response.create(
                model="tiny", messages=[], extra_body=body
            )
            assert response.status_code == 200, row
