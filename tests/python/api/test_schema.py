"""The table of fields: every value that is accepted or refused, without a server."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import orjson
import pytest
from llamad.errors import ParameterError, RequestError
from llamad.openai.schema import CHAT_FIELDS, SAMPLING_FIELDS, ChatRequest, parse_chat
from llamad.sampling import FIELD_NAMES, SamplingParams

MESSAGES = [{"role": "user", "content": "Hi"}]


def parse(**given: Any) -> ChatRequest:
    return parse_chat(orjson.dumps({"model": "m", "messages": MESSAGES} | given))


def test_defaults_are_those_of_sampling_params() -> None:
    request = parse()
    assert request == ChatRequest("m", orjson.dumps(MESSAGES), SamplingParams())


def test_null_counts_as_absent() -> None:
    optional = {field.name: None for field in CHAT_FIELDS + SAMPLING_FIELDS if not field.required}
    assert parse(**optional) == parse()


def test_every_sampling_parameter_has_a_field() -> None:
    assert {field.target for field in SAMPLING_FIELDS} == FIELD_NAMES - {"logprobs"}


def test_every_target_of_the_request_exists() -> None:
    targets = {field.target for field in CHAT_FIELDS} - {"", "stream_options", "best_of"}
    assert targets <= {field.name for field in fields(ChatRequest)}


@pytest.mark.parametrize(
    ("name", "value", "param"),
    [
        ("model", None, "model"),
        ("model", 3, "model"),
        ("messages", None, "messages"),
        ("messages", "Hi", "messages"),
        ("messages", [], "messages"),
        ("messages", ["Hi"], "messages[0]"),
        ("messages", [*MESSAGES, {"content": "x"}], "messages[1].role"),
        ("messages", [{"role": 1, "content": "x"}], "messages[0].role"),
        ("messages", [{"role": "user", "content": 1}], "messages[0].content"),
        ("messages", [{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
        (
            "messages",
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
            "messages[0].content[0].type",
        ),
        ("messages", [{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ("max_tokens", 0, "max_tokens"),
        ("max_tokens", 1.5, "max_tokens"),
        ("max_tokens", True, "max_tokens"),
        ("max_tokens", "5", "max_tokens"),
        ("max_tokens", 2**31, "max_tokens"),
        ("max_completion_tokens", -1, "max_completion_tokens"),
        ("temperature", -0.1, "temperature"),
        ("temperature", "hot", "temperature"),
        ("temperature", False, "temperature"),
        ("top_p", 0, "top_p"),
        ("top_p", 1.1, "top_p"),
        ("frequency_penalty", 2.1, "frequency_penalty"),
        ("presence_penalty", -2.1, "presence_penalty"),
        ("stop", 5, "stop"),
        ("stop", "", "stop"),
        ("stop", ["a", ""], "stop"),
        ("stop", ["a", 1], "stop"),
        ("stop", ["a"] * 65, "stop"),
        ("seed", 1.0, "seed"),
        ("logit_bias", [1], "logit_bias"),
        ("logit_bias", {"the": 1}, "logit_bias"),
        ("logit_bias", {"-1": 1}, "logit_bias"),
        ("logit_bias", {"9999999999": 1}, "logit_bias"),
        ("logit_bias", {"9" * 5000: 1}, "logit_bias"),
        ("logit_bias", {"5": 101}, "logit_bias.5"),
        ("logit_bias", {"5": None}, "logit_bias.5"),
        ("top_k", -2, "top_k"),
        ("min_p", 2, "min_p"),
        ("repeat_penalty", 0, "repeat_penalty"),
        ("mirostat", 3, "mirostat"),
        ("grammar", {}, "grammar"),
        ("ignore_eos", 1, "ignore_eos"),
        ("stream", "yes", "stream"),
        ("user", 1, "user"),
        ("n", 0, "n"),
        ("n", 129, "n"),
        ("n", 1.0, "n"),
        ("n", True, "n"),
        ("n", "2", "n"),
        ("best_of", 0, "best_of"),
        ("best_of", "2", "best_of"),
        ("priority", 1.5, "priority"),
        ("priority", "high", "priority"),
        ("priority", 2**31, "priority"),
        ("timeout", 0, "timeout"),
        ("timeout", -1, "timeout"),
        ("timeout", 1e7, "timeout"),
        ("timeout", "5", "timeout"),
        ("cache_salt", "", "cache_salt"),
        ("cache_salt", "x" * 1025, "cache_salt"),
        ("cache_salt", 5, "cache_salt"),
        ("prompt_cache_key", 5, "prompt_cache_key"),
    ],
)
def test_wrong_value_is_named(name: str, value: Any, param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse(**{name: value})
    assert caught.value.param == param
    assert f"'{param}'" in str(caught.value)


def test_message_says_what_was_expected_and_what_came() -> None:
    with pytest.raises(ParameterError, match=r"'top_p' must be a number above 0 and at most 1, not \"x\""):
        parse(top_p="x")


def test_long_value_is_shortened() -> None:
    with pytest.raises(ParameterError) as caught:
        parse(top_p="x" * 10_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("best_of", 2),
        ("tools", [{"type": "function"}]),
        ("tool_choice", "auto"),
        ("functions", [{}]),
        ("function_call", "auto"),
        ("response_format", {"type": "json_object"}),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "x"}),
        ("web_search_options", {}),
    ],
)
def test_what_is_not_served_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match="not supported") as caught:
        parse(**{name: value})
    assert caught.value.param == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 1),
        ("best_of", 1),
        ("tools", []),
        ("tool_choice", "none"),
        ("response_format", {"type": "text"}),
        ("logprobs", False),
        ("top_logprobs", 0),
        ("modalities", ["text"]),
    ],
)
def test_what_asks_for_nothing_is_fine(name: str, value: Any) -> None:
    assert parse(**{name: value}) == parse()


def test_scheduling() -> None:
    request = parse(n=128, user="me", priority=-3, timeout=0.5, cache_salt="tenant")
    assert (request.n, request.user, request.priority) == (128, "me", -3)
    assert (request.timeout, request.cache_salt) == (0.5, "tenant")
    assert parse(prompt_cache_key="k", safety_identifier="s") == parse()


def test_best_of_all_choices_ranks_nothing() -> None:
    assert parse(n=3, best_of=3) == parse(n=3)
    with pytest.raises(ParameterError, match="ranking"):
        parse(n=3, best_of=4)


def test_top_k_of_minus_one_keeps_all() -> None:
    assert parse(top_k=-1).sampling.top_k == -1


def test_stream_options() -> None:
    assert parse(stream=True, stream_options={"include_usage": True}).include_usage
    assert not parse(stream=True, stream_options={}).include_usage
    with pytest.raises(ParameterError, match="only allowed with") as caught:
        parse(stream_options={"include_usage": True})
    assert caught.value.param == "stream_options"
    with pytest.raises(ParameterError) as caught:
        parse(stream=True, stream_options={"include_usage": 1})
    assert caught.value.param == "stream_options.include_usage"


def test_messages_keep_what_the_template_may_want() -> None:
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "a"}], "name": "x"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    ]
    assert orjson.loads(parse(messages=messages).messages) == messages


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b'{"model": "\xc3\x28"}',
        b'{"temperature": NaN}',
        b'{"temperature": Infinity}',
        b'{"model": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_body_that_is_no_json_object(body: bytes) -> None:
    with pytest.raises(RequestError):
        parse_chat(body)


def test_deep_messages_are_refused() -> None:
    """Deeper than the JSON writer goes, yet not too deep for the reader."""
    deep = b"[" * 500 + b"]" * 500
    with pytest.raises(RequestError, match="deeply"):
        parse_chat(b'{"model":"m","messages":[{"role":"user","content":"x","extra":' + deep + b"}]}")


def test_deep_value_of_a_known_field_is_refused() -> None:
    deep = b"[" * 900 + b"]" * 900
    with pytest.raises(ParameterError, match=r"'temperature' must be .* not an array"):
        parse_chat(b'{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":' + deep + b"}")
