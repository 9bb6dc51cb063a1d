"""Completions, embeddings and models through the official Python client."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import openai
import pytest

from .questions import MODEL

if TYPE_CHECKING:
    from openai import OpenAI

pytestmark = pytest.mark.timeout(300)

PROMPTS = ["The capital of France is", "Once upon a time"]


def test_a_completion_continues_its_prompt(client: OpenAI) -> None:
    completion = client.completions.create(model=MODEL, prompt=PROMPTS[0], temperature=0, max_tokens=4)
    assert completion.object == "text_completion"
    assert "Paris" in completion.choices[0].text
    assert completion.choices[0].finish_reason == "length"


def test_several_prompts_are_answered_in_order(client: OpenAI) -> None:
    alone = [
        client.completions.create(model=MODEL, prompt=prompt, temperature=0, max_tokens=2).choices[0].text
        for prompt in PROMPTS
    ]
    together = client.completions.create(model=MODEL, prompt=PROMPTS, temperature=0, max_tokens=2)
    assert [choice.index for choice in together.choices] == [0, 1]
    assert [choice.text for choice in together.choices] == alone


def test_streamed_choices_tell_their_index(client: OpenAI) -> None:
    stream = client.completions.create(
        model=MODEL, prompt=PROMPTS, n=2, seed=3, temperature=1, max_tokens=6, stream=True
    )
    choices: list[Any] = [choice.to_dict() for chunk in stream for choice in chunk.choices]
    assert {choice["index"] for choice in choices} == {0, 1, 2, 3}
    assert sorted(choice["index"] for choice in choices if choice["finish_reason"]) == [0, 1, 2, 3]


def test_echoed_prompts_come_with_log_probabilities(client: OpenAI) -> None:
    completion = client.completions.create(
        model=MODEL, prompt=PROMPTS[0], echo=True, logprobs=2, temperature=0, max_tokens=1
    )
    choice = completion.choices[0]
    assert choice.text.startswith(PROMPTS[0])
    assert choice.logprobs is not None
    # The first token has no log-probability, which the client's types do not foresee.
    logprobs: dict[str, Any] = choice.logprobs.to_dict()
    assert "".join(logprobs["tokens"]) == choice.text
    first, *others = logprobs["token_logprobs"]
    assert first is None
    assert all(-math.inf < value <= 0 for value in others)
    assert len({len(values) for values in logprobs.values()}) == 1
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
        assert choice.text.startswith(token, offset)
    for top, value in zip(logprobs["top_logprobs"][1:], others, strict=True):
        assert 2 <= len(top) <= 3
        assert max(top.values()) >= value


def test_a_suffix_needs_a_model_with_the_tokens(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt="def f(", suffix="return 1", max_tokens=4)
    assert caught.value.param == "suffix"


def test_models_are_listed_and_described(client: OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    model = client.models.retrieve(MODEL)
    assert (model.id, model.object) == (MODEL, "model")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("absent")


def test_a_model_that_cannot_embed_says_so(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=MODEL, input="hello")
    assert caught.value.param == "model"
