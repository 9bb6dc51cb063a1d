"""A chat request: every value that is accepted or refused, without a server."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from llamad.errors import ParameterError, RequestError
from llamad.openai.chat_request import ALL_FIELDS, ChatRequest, parse_chat
from llamad.openai.sampling_fields import SAMPLING_FIELDS
from llamad.sampling import FIELD_NAMES, SamplingParams

MESSAGES = [{"role": "user", "content": "Hi"}]
CONVERSATION = {"messages": MESSAGES, "continue_final_message": False}


def parse(**given: Any) -> ChatRequest:
    return parse_chat(orjson.dumps({"model": "m", "messages": MESSAGES} | given))


def conversation(**given: Any) -> Any:
    return orjson.loads(parse(**given).conversation)


def test_defaults_are_those_of_sampling_params() -> None:
    request = parse()
    assert request.sampling == SamplingParams()
    assert orjson.loads(request.conversation) == CONVERSATION
    assert request == ChatRequest(model="m", conversation=request.conversation, sampling=SamplingParams())


def test_null_counts_as_absent() -> None:
    optional = {field.name: None for field in ALL_FIELDS if not field.required}
    assert parse(**optional) == parse()


def test_no_field_is_defined_twice() -> None:
    names = [field.name for field in ALL_FIELDS]
    assert len(names) == len(set(names))


def test_every_sampling_parameter_can_be_asked_for() -> None:
    elsewhere = {"max_tokens", "grammar", "logprobs", "prompt_logprobs", "prompt_logprobs_start"}
    assert {field.target for field in SAMPLING_FIELDS} - {""} == FIELD_NAMES - elsewhere


@pytest.mark.parametrize(
    ("name", "value", "param"),
    [
        ("model", None, "model"),
        ("model", 3, "model"),
        ("messages", None, "messages"),
        ("messages", "Hi", "messages"),
        ("messages", [], "messages"),
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
        ("safety_identifier", 5, "safety_identifier"),
        ("prompt_cache_retention", 24, "prompt_cache_retention"),
        ("logprobs", 5, "logprobs"),
        ("top_logprobs", 21, "top_logprobs"),
        ("top_logprobs", -1, "top_logprobs"),
        ("top_logprobs", True, "top_logprobs"),
        ("top_logprobs", 1, "top_logprobs"),
        ("min_tokens", -1, "min_tokens"),
        ("min_tokens", 1.0, "min_tokens"),
        ("repetition_penalty", 0, "repetition_penalty"),
        ("typical_p", 0, "typical_p"),
        ("repeat_last_n", -2, "repeat_last_n"),
        ("dry_multiplier", -1, "dry_multiplier"),
        ("dry_base", 0.5, "dry_base"),
        ("dry_allowed_length", -1, "dry_allowed_length"),
        ("dry_penalty_last_n", -2, "dry_penalty_last_n"),
        ("dry_sequence_breakers", "x", "dry_sequence_breakers"),
        ("xtc_probability", 2, "xtc_probability"),
        ("xtc_threshold", -1, "xtc_threshold"),
        ("mirostat_tau", "x", "mirostat_tau"),
        ("mirostat_eta", -1, "mirostat_eta"),
        ("return_token_ids", 1, "return_token_ids"),
        ("store", "yes", "store"),
        ("metadata", "x", "metadata"),
        ("service_tier", "gold", "service_tier"),
        ("verbosity", "chatty", "verbosity"),
        ("prediction", "x", "prediction"),
        ("reasoning_effort", "huge", "reasoning_effort"),
        ("reasoning_format", "deepseek-legacy", "reasoning_format"),
        ("chat_template", "", "chat_template"),
        ("chat_template", {}, "chat_template"),
        ("chat_template_kwargs", "x", "chat_template_kwargs"),
        ("chat_template_kwargs", {"enable_thinking": "no"}, "chat_template_kwargs.enable_thinking"),
        ("add_generation_prompt", 1, "add_generation_prompt"),
        ("continue_final_message", "content", "continue_final_message"),
        ("parallel_tool_calls", "no", "parallel_tool_calls"),
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
        ("functions", [{}]),
        ("function_call", "auto"),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "x"}),
        ("web_search_options", {}),
        ("echo", True),
        ("documents", [{}]),
        ("stop_token_ids", [2]),
        ("allowed_token_ids", [2]),
        ("bad_words", ["no"]),
        ("include_stop_str_in_output", True),
        ("skip_special_tokens", False),
        ("use_beam_search", True),
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
        ("tool_choice", "auto"),
        ("parallel_tool_calls", True),
        ("functions", []),
        ("function_call", "none"),
        ("grammar", ""),
        ("structured_outputs", {"json_object": False}),
        ("store", True),
        ("metadata", {"a": "b"}),
        ("service_tier", "flex"),
        ("verbosity", "low"),
        ("prediction", {"type": "content", "content": "x"}),
        ("stop_token_ids", []),
        ("skip_special_tokens", True),
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


def test_logprobs() -> None:
    assert parse(logprobs=True).sampling.logprobs == 0
    assert parse(logprobs=True, top_logprobs=20).sampling.logprobs == 20
    assert parse(logprobs=False, top_logprobs=0).sampling.logprobs is None


def test_continuous_usage() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True, "include_obfuscation": False}
    request = parse(stream=True, stream_options=options)
    assert (request.include_usage, request.continuous_usage) == (True, True)
    assert request.wants_tokens


def test_repetition_penalty_goes_by_both_names() -> None:
    assert parse(repetition_penalty=1.5).sampling.repeat_penalty == 1.5
    assert parse(repetition_penalty=1.5, repeat_penalty=1.2).sampling.repeat_penalty == 1.2


def test_thinking() -> None:
    given = {
        "reasoning_effort": "low",
        "reasoning_format": "deepseek",
        "chat_template_kwargs": {"enable_thinking": False, "x": [1, {"y": None}]},
    }
    assert conversation(**given) == CONVERSATION | given | {"reasoning_format": "auto"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"model": "\xc3\x28"}',
        b'{"temperature": NaN}',
        b'{"temperature": Infinity}',
        b'{"model": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"model":"m","model":"n"}',
    ],
)
def test_body_that_is_no_json_object(body: bytes) -> None:
    with pytest.raises(RequestError):
        parse_chat(body)


def test_deep_value_of_a_known_field_is_refused() -> None:
    deep = b"[" * 100 + b"]" * 100
    with pytest.raises(ParameterError, match=r"'temperature' must be .* not an array"):
        parse_chat(b'{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":' + deep + b"}")
