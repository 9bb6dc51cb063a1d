"""The answer to a chat completion that is not streamed."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from .chat_message import finish_reason, message_of
from .logprobs import Pieces, logprobs_object, without_end
from .usage import usage_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._engine import Prepared
    from ..results import Result, Usage
    from .chat_request import ChatRequest


@dataclass(frozen=True, slots=True)
class Answering:
    """What the writers of an answer need to know.

    Attributes:
        request: what is answered.
        prepared: the templated conversation; it makes the parsers.
        pieces: turns token ids into bytes.
    """

    request: ChatRequest
    prepared: Prepared
    pieces: Pieces


def head(kind: str, model: str) -> dict[str, Any]:
    """Return what an answer, or each chunk of one, begins with."""
    identity = f"chatcmpl-{secrets.token_hex(12)}"
    return {"id": identity, "object": kind, "created": int(time.time()), "model": model}


def whole(answering: Answering, results: Sequence[Result], usage: Usage) -> bytes:
    """Return the body of an answer that is not streamed."""
    request = answering.request
    body = head("chat.completion", request.model)
    n_reasoning = 0
    body["choices"] = choices = []
    for index, result in enumerate(results):
        message, thoughts = message_of(result.text, answering.prepared.parser())
        choices.append(_choice(answering, index, result, message))
        n_reasoning += thoughts.count_tokens(result.text, result.token_ids, answering.pieces)
    body["usage"] = usage_object(usage, n_reasoning=n_reasoning)
    if request.return_token_ids:
        body["prompt_token_ids"] = answering.prepared.prompt_token_ids
    return orjson.dumps(body)


def _choice(answering: Answering, index: int, result: Result, message: dict[str, Any]) -> dict[str, Any]:
    logprobs = None
    if result.logprobs is not None:
        logprobs = logprobs_object(without_end(result.logprobs, result), answering.pieces)
    choice = {
        "index": index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": finish_reason(result.finish_reason, made_calls="tool_calls" in message),
    }
    return choice | ({"token_ids": result.token_ids} if answering.request.return_token_ids else {})
