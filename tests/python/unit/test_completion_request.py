"""What a completion request may say, without a server."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import orjson
import pytest
from llamad.errors import ParameterError
from llamad.openai.completion_request import (
    ALL_FIELDS,
    COMPLETION_FIELDS,
    MAX_PROMPTS,
    CompletionRequest,
    parse_completion,
)
from llamad.sampling import SamplingParams


def parse(**given: Any) -> CompletionRequest:
    return parse_completion(orjson.dumps({"model": "m", "prompt": "Once"} | given))


def test_defaults() -> None:
    expected = CompletionRequest(model="m", prompts=("Once",), sampling=SamplingParams(max_tokens=16))
    assert parse() == expected


def test_names_are_unique() -> None:
    names = [field.name for field in ALL_FIELDS]
    assert len(names) == len(set(names))


def test_every_target_exists() -> None:
    targets = {field.target for field in COMPLETION_FIELDS} - {"max_tokens", "logprobs"}
    assert targets <= {field.name for field in fields(CompletionRequest)}


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("", ("",)),
        ("a", ("a",)),
        (["a"], ("a",)),
        (["a", "", "a"], ("a", "", "a")),
        ([5], ([5],)),
        ([0, 2**31 - 1], ([0, 2**31 - 1],)),
        ([[5], [6, 7]], ([5], [6, 7])),
        (["x"] * MAX_PROMPTS, ("x",) * MAX_PROMPTS),
    ],
)
def test_prompts(prompt: Any, prompts: Any) -> None:
    assert parse(prompt=prompt).prompts == prompts


@pytest.mark.parametrize(
    ("name", "value", "param"),
    [
        ("prompt", None, "prompt"),
        ("prompt", 5, "prompt"),
        ("prompt", {}, "prompt"),
        ("prompt", [], "prompt"),
        ("prompt", ["a", 5], "prompt"),
        ("prompt", [5, "a"], "prompt"),
        ("prompt", [5, True], "prompt"),
        ("prompt", [5, 6.0], "prompt"),
        ("prompt", [-1], "prompt"),
        ("prompt", [2**31], "prompt"),
        ("prompt", [[5], []], "prompt[1]"),
        ("prompt", [[5], [6, -1]], "prompt[1]"),
        ("prompt", [[5], "a"], "prompt[1]"),
        ("prompt", [[5], [[6]]], "prompt[1]"),
        ("prompt", ["x"] * (MAX_PROMPTS + 1), "prompt"),
        ("max_tokens", -1, "max_tokens"),
        ("max_tokens", 0, "max_tokens"),  # and no echo
        ("max_tokens", 2**31, "max_tokens"),
        ("best_of", 0, "best_of"),
        ("best_of", 129, "best_of"),
        ("echo", "yes", "echo"),
        ("logprobs", 21, "logprobs"),
        ("logprobs", True, "logprobs"),
        ("logprobs", -1, "logprobs"),
        ("suffix", 5, "suffix"),
        ("n", 0, "n"),
        ("return_token_ids", 1, "return_token_ids"),
        ("stream_options", {"include_usage": True}, "stream_options"),
        ("temperature", -1, "temperature"),
        ("min_tokens", -1, "min_tokens"),
        ("min_tokens", 17, "min_tokens"),  # above max_tokens, which is 16 where it is absent
        ("response_format", {"type": "yaml"}, "response_format.type"),
        ("guided_choice", [], "guided_choice"),
    ],
)
def test_wrong_value_is_named(name: str, value: Any, param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse(**{name: value})
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"stream": True, "best_of": 2}, "best_of"),
        ({"suffix": "x", "echo": True}, "suffix"),
        ({"suffix": "x", "prompt": [5]}, "suffix"),
        ({"suffix": "x", "prompt": [[5]]}, "suffix"),
        ({"stream": True, "echo": True, "logprobs": 0}, "logprobs"),
        ({"guided_choice": ["a"], "grammar": 'root ::= "b"'}, "guided_choice"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse(**given)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("given", "logprobs", "prompt_logprobs"),
    [
        ({}, None, None),
        ({"echo": True}, None, None),
        ({"logprobs": 0}, 0, None),
        ({"logprobs": 5}, 5, None),
        ({"logprobs": 5, "echo": True}, 5, 5),
        ({"echo": True, "max_tokens": 0}, None, 0),
        ({"echo": True, "max_tokens": 0, "logprobs": 20}, 20, 20),
    ],
)
def test_what_is_scored(given: dict[str, Any], logprobs: int | None, prompt_logprobs: int | None) -> None:
    sampling = parse(**given).sampling
    assert (sampling.logprobs, sampling.prompt_logprobs) == (logprobs, prompt_logprobs)


def test_best_of_all_ranks_nothing() -> None:
    assert parse(n=3, best_of=3) == parse(n=3)
    assert parse(best_of=1, stream=True) == parse(stream=True)
    assert parse(n=2, best_of=5).best_of == 5


def test_an_empty_suffix_asks_for_nothing() -> None:
    assert parse(suffix="", echo=True) == parse(echo=True)
    assert parse(suffix=" end").suffix == " end"


def test_streamed_echo_of_the_text_alone_is_fine() -> None:
    assert parse(stream=True, echo=True, max_tokens=0).echo


def test_constraints_become_grammars() -> None:
    request = parse(guided_choice=["yes", "no"])
    assert "yes" in request.sampling.grammar
    assert request.constraint_field == "guided_choice"
    assert parse(response_format={"type": "text"}).sampling.grammar == ""
