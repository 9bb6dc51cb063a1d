"""What a request may say: one table per endpoint, one typed struct per parsed request."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import orjson

from ..errors import ParameterError, RequestError
from ..request_options import MAX_CHOICES, MAX_TIMEOUT_S
from ..sampling import SamplingParams
from .fields import (
    INT32_MAX,
    INT32_MIN,
    INT64_MAX,
    INT64_MIN,
    Boolean,
    Field,
    Integer,
    LogitBias,
    Nested,
    Number,
    Only,
    String,
    Strings,
    parse_fields,
)
from .messages import Messages

_logger = logging.getLogger(__name__)

SAMPLING_FIELDS = (
    Field("max_tokens", Integer(1), "max_tokens"),
    Field("max_completion_tokens", Integer(1), "max_tokens"),
    Field("temperature", Number(0), "temperature"),
    Field("top_p", Number(0, 1, above_minimum=True), "top_p"),
    Field("frequency_penalty", Number(-2, 2), "frequency_penalty"),
    Field("presence_penalty", Number(-2, 2), "presence_penalty"),
    Field("stop", Strings(64, or_one=True), "stop"),
    Field("seed", Integer(INT64_MIN, INT64_MAX), "seed"),
    Field("logit_bias", LogitBias(), "logit_bias"),
    # From here on extensions, named as llama.cpp names them.
    Field("top_k", Integer(-1), "top_k"),
    Field("min_p", Number(0, 1), "min_p"),
    Field("typical_p", Number(0, 1, above_minimum=True), "typical_p"),
    Field("repeat_penalty", Number(0, above_minimum=True), "repeat_penalty"),
    Field("repeat_last_n", Integer(-1), "repeat_last_n"),
    Field("dry_multiplier", Number(0), "dry_multiplier"),
    Field("dry_base", Number(1), "dry_base"),
    Field("dry_allowed_length", Integer(), "dry_allowed_length"),
    Field("dry_penalty_last_n", Integer(-1), "dry_penalty_last_n"),
    Field("dry_sequence_breakers", Strings(64), "dry_sequence_breakers"),
    Field("xtc_probability", Number(0, 1), "xtc_probability"),
    Field("xtc_threshold", Number(0, 1), "xtc_threshold"),
    Field("mirostat", Integer(0, 2), "mirostat"),
    Field("mirostat_tau", Number(0), "mirostat_tau"),
    Field("mirostat_eta", Number(0), "mirostat_eta"),
    Field("grammar", String(), "grammar"),
    Field("ignore_eos", Boolean(), "ignore_eos"),
)
"""How to sample; the targets are the names of `SamplingParams`, whose defaults hold where absent."""

STREAM_OPTIONS_FIELDS = (Field("include_usage", Boolean(), "include_usage"),)

CHAT_FIELDS = (
    Field("model", String(), "model", required=True),
    Field("messages", Messages(), "messages", required=True),
    Field("stream", Boolean(), "stream"),
    Field("stream_options", Nested(STREAM_OPTIONS_FIELDS), "stream_options"),
    Field("n", Integer(1, MAX_CHOICES), "n"),
    Field("best_of", Integer(1, MAX_CHOICES), "best_of"),
    # Who asks, as far as the caller tells: users share the slots evenly.
    Field("user", String(), "user"),
    # Labels that change nothing: every computed prefix is found again without a key.
    Field("safety_identifier", String()),
    Field("prompt_cache_key", String()),
    # Extensions, named as vLLM names them; `timeout` is in seconds.
    Field("priority", Integer(INT32_MIN, INT32_MAX), "priority"),
    Field("cache_salt", String(most=1024), "cache_salt"),
    Field("timeout", Number(0, MAX_TIMEOUT_S, above_minimum=True), "timeout"),
    # Fields that would change the answer, if they were served.
    Field("tools", Only(([],), "tool calling is")),
    Field("tool_choice", Only(("none",), "tool calling is")),
    Field("functions", Only(([],), "function calling is")),
    Field("function_call", Only(("none",), "function calling is")),
    Field("response_format", Only(({"type": "text"},), "structured output is")),
    Field("logprobs", Only((False,), "logprobs are")),
    Field("top_logprobs", Only((0,), "logprobs are")),
    Field("modalities", Only((["text"],), "output other than text is")),
    Field("audio", Only((), "audio output is")),
    Field("web_search_options", Only((), "web search is")),
)
"""`POST /v1/chat/completions`, together with `SAMPLING_FIELDS`."""

_CHAT_NAMES = frozenset(field.name for field in CHAT_FIELDS + SAMPLING_FIELDS)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat completion request that has been checked.

    Attributes:
        model: id of the model.
        messages: the conversation, a JSON array.
        sampling: how to sample.
        stream: whether to answer with server-sent events.
        include_usage: whether the stream ends with a chunk of token counts.
        n: how many choices.
        user: who asks, as far as the caller tells.
        priority: lower goes first.
        cache_salt: prefixes are shared between equal salts only.
        timeout: seconds until the request is given up; None: no limit of its own.
    """

    model: str
    messages: bytes
    sampling: SamplingParams
    stream: bool = False
    include_usage: bool = False
    n: int = 1
    user: str = ""
    priority: int = 0
    cache_salt: str = ""
    timeout: float | None = None


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a request's body.

    Raises:
        RequestError: it is empty, not valid JSON in UTF-8, or not an object.
    """
    if not body:
        raise RequestError("the body is empty; it must be a JSON object")
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not valid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise RequestError(f"the body must be a JSON object, not {type(parsed).__name__}")
    return parsed


def parse_chat(body: bytes) -> ChatRequest:
    """Parse and check the body of a chat completion request.

    Raises:
        RequestError: the body is not a JSON object.
        ParameterError: a field is missing, has the wrong type, lies outside its range, or asks for
            something that is not served.
    """
    parsed = parse_object(body)
    values = parse_fields(CHAT_FIELDS, parsed)
    sampling = SamplingParams(**parse_fields(SAMPLING_FIELDS, parsed))
    unknown = parsed.keys() - _CHAT_NAMES
    if unknown:
        _logger.debug("ignoring unknown fields: %r", sorted(unknown))
    # Not OpenAI's, but other servers rank by it; who asks for that must not get the unranked.
    if values.pop("best_of", None) not in (None, values.get("n", 1)):
        raise ParameterError("'best_of': ranking of choices is not supported by this server", param="best_of")
    options = values.pop("stream_options", None)
    if options is not None and not values.get("stream"):
        raise ParameterError("'stream_options' is only allowed with 'stream': true", param="stream_options")
    include_usage = bool(options and options.get("include_usage"))
    return ChatRequest(**values, sampling=sampling, include_usage=include_usage)
