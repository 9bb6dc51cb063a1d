"""The answer to a chat completion: whole, or as the chunks of a stream."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import orjson

from ..results import Usage
from . import sse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..choices import Step
    from ..results import Result


def new_completion_id() -> str:
    """Return an id that no other completion has."""
    return f"chatcmpl-{secrets.token_hex(12)}"


def usage_of(results: Sequence[Result]) -> Usage:
    """Return the token counts of all choices together.

    The prompt they share counts once, as OpenAI counts it. One choice computes it and the others copy
    it, so what the request found in the cache is what the one that found least has found.
    """
    usages = [result.usage for result in results]
    return Usage(
        prompt_tokens=usages[0].prompt_tokens,
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cached_tokens=min(usage.cached_tokens for usage in usages),
    )


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return the token counts as OpenAI's `usage` object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def whole(model: str, results: Sequence[Result]) -> bytes:
    """Return the body of an answer that is not streamed."""
    return orjson.dumps(
        {
            "id": new_completion_id(),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [_choice(index, result) for index, result in enumerate(results)],
            "usage": usage_object(usage_of(results)),
        }
    )


def _choice(index: int, result: Result) -> dict[str, Any]:
    message = {"role": "assistant", "content": result.text, "refusal": None}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": result.finish_reason}


class ChunkWriter:
    """The events of one streamed chat completion.

    Everything but the text is the same in each chunk of a choice, so it is encoded once: a token costs
    the escaping of its own text and one concatenation.
    """

    __slots__ = ("_bare_end", "_content_starts", "_head", "_include_usage", "_text_end")

    def __init__(self, model: str, n: int, *, include_usage: bool) -> None:
        same = {
            "id": new_completion_id(),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._include_usage = include_usage
        self._head = sse.DATA + orjson.dumps(same)[:-1] + b',"choices":['
        self._content_starts = [self._head + b'{"index":%d,"delta":{"content":' % index for index in range(n)]
        self._bare_end = (b'],"usage":null}' if include_usage else b"]}") + sse.END
        self._text_end = b'},"logprobs":null,"finish_reason":null}' + self._bare_end

    def first(self) -> bytes:
        """Return the chunks that open the messages."""
        opening = b',"delta":{"role":"assistant","content":""' + self._text_end
        return b"".join(
            self._head + b'{"index":%d' % index + opening for index in range(len(self._content_starts))
        )

    def chunks(self, steps: Sequence[Step]) -> bytes:
        """Return the chunks that carry what is new."""
        chunks = b""
        for index, text, result in steps:
            if text:
                chunks += self._content_starts[index] + orjson.dumps(text) + self._text_end
            if result is not None:
                chunks += self._finish(index, result)
        return chunks

    def last(self, results: Sequence[Result]) -> bytes:
        """Return the end of the stream: token counts if asked for, and the sentinel."""
        if not self._include_usage:
            return sse.DONE
        usage = orjson.dumps(usage_object(usage_of(results)))
        return self._head + b'],"usage":' + usage + b"}" + sse.END + sse.DONE

    def _finish(self, index: int, result: Result) -> bytes:
        reason = orjson.dumps(result.finish_reason)
        choice = b'{"index":%d,"delta":{},"logprobs":null,"finish_reason":%b}' % (index, reason)
        return self._head + choice + self._bare_end
