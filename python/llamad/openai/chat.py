"""The answer to a chat completion: whole, or as the chunks of a stream."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import orjson

from . import sse

if TYPE_CHECKING:
    from ..results import Result, Usage


def new_completion_id() -> str:
    """Return an id that no other completion has."""
    return f"chatcmpl-{secrets.token_hex(12)}"


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return the token counts as OpenAI's `usage` object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def whole(model: str, result: Result) -> bytes:
    """Return the body of an answer that is not streamed."""
    message = {"role": "assistant", "content": result.text, "refusal": None}
    return orjson.dumps(
        {
            "id": new_completion_id(),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": result.finish_reason}
            ],
            "usage": usage_object(result.usage),
        }
    )


class ChunkWriter:
    """The events of one streamed chat completion.

    Everything but the text is the same in each chunk, so it is encoded once: a token costs the
    escaping of its own text and one concatenation.
    """

    __slots__ = ("_content", "_head", "_include_usage", "_rest")

    def __init__(self, model: str, *, include_usage: bool) -> None:
        same = {
            "id": new_completion_id(),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._include_usage = include_usage
        self._head = sse.DATA + orjson.dumps(same)[:-1] + b',"choices":['
        self._content = self._head + b'{"index":0,"delta":{"content":'
        self._rest = b'},"logprobs":null,"finish_reason":null}' + self._tail()

    def first(self) -> bytes:
        """Return the chunk that opens the message."""
        return self._head + b'{"index":0,"delta":{"role":"assistant","content":""' + self._rest

    def delta(self, text: str) -> bytes:
        """Return the chunk that carries a piece of the text."""
        return self._content + orjson.dumps(text) + self._rest

    def last(self, result: Result) -> bytes:
        """Return the end of the stream: finish reason, token counts if asked for, and the sentinel."""
        reason = orjson.dumps(result.finish_reason)
        finish = b'{"index":0,"delta":{},"logprobs":null,"finish_reason":' + reason + b"}"
        events = self._head + finish + self._tail()
        if self._include_usage:
            events += self._head + b'],"usage":' + orjson.dumps(usage_object(result.usage)) + b"}" + sse.END
        return events + sse.DONE

    def _tail(self) -> bytes:
        return (b'],"usage":null}' if self._include_usage else b"]}") + sse.END
