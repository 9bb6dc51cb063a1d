"""The events of a streamed chat completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from ..results import Usage
from . import sse
from .chat_message import MessageDeltas, finish_reason
from .chat_response import Answering, head
from .logprobs import logprobs_object, without_end
from .usage import usage_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..choices import Choices, Step
    from ..results import Result, TokenLogprobs

_KIND = "chat.completion.chunk"


class TextWriter:
    """The events where the text is the content as it is, and nobody asks for the tokens behind it.

    Everything but the text is the same in each chunk of a choice, so it is encoded once: a token costs
    the escaping of its own text and one concatenation.
    """

    __slots__ = ("_bare_end", "_content_starts", "_head", "_include_usage", "_text_end")

    def __init__(self, model: str, n: int, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._head = sse.DATA + orjson.dumps(head(_KIND, model))[:-1] + b',"choices":['
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

    def last(self, usage: Usage) -> bytes:
        """Return the end of the stream: token counts if asked for, and the sentinel."""
        if not self._include_usage:
            return sse.DONE
        counts = orjson.dumps(usage_object(usage, n_reasoning=0))
        return self._head + b'],"usage":' + counts + b"}" + sse.END + sse.DONE

    def _finish(self, index: int, result: Result) -> bytes:
        reason = orjson.dumps(result.finish_reason)
        choice = b'{"index":%d,"delta":{},"logprobs":null,"finish_reason":%b}' % (index, reason)
        return self._head + choice + self._bare_end


class _Choice:
    """One choice on its way: its parser, and the tokens that no chunk has told of yet."""

    __slots__ = ("deltas", "logprobs", "token_ids")

    def __init__(self, deltas: MessageDeltas) -> None:
        self.deltas = deltas
        self.token_ids: list[int] = []
        self.logprobs: list[TokenLogprobs] = []


class MessageWriter:
    """The events where the text has to be parsed, or tokens go along with it.

    A chunk tells of the tokens that were generated since the one before. Where their text is still held
    back, as the beginning of what may be a tool call, they wait for the next chunk of their choice.
    """

    def __init__(self, answering: Answering, choices: Choices) -> None:
        request = answering.request
        self._answering = answering
        self._request = request
        self._take_tokens = choices.take_tokens
        self._head = head(_KIND, request.model)
        self._choices = [_Choice(MessageDeltas(answering.prepared.parser())) for _ in range(request.n)]
        self._n_generated = 0
        self._n_reasoning = 0

    def first(self) -> bytes:
        """Return the chunks that open the messages."""
        chunks = [
            # What may turn out to be nothing but tool calls has no content yet.
            self._chunk(index, {"role": "assistant", "content": None if choice.deltas.parsed else ""})
            for index, choice in enumerate(self._choices)
        ]
        if self._request.return_token_ids:
            chunks[0]["prompt_token_ids"] = self._answering.prepared.prompt_token_ids
        return b"".join(sse.event(orjson.dumps(chunk)) for chunk in chunks)

    def chunks(self, steps: Sequence[Step]) -> bytes:
        """Return the chunks that carry what is new."""
        chunks = []
        for index, text, result in steps:
            choice = self._choices[index]
            self._take(index, result)
            deltas = choice.deltas.feed(text, final=result is not None)
            chunks += [self._chunk(index, delta) for delta in deltas]
            if result is not None:
                reason = finish_reason(result.finish_reason, made_calls=choice.deltas.made_calls)
                chunks.append(self._chunk(index, {}, reason))
                self._n_reasoning += choice.deltas.thoughts.count_tokens(
                    result.text, result.token_ids, self._answering.pieces
                )
        return b"".join(sse.event(orjson.dumps(chunk)) for chunk in chunks)

    def last(self, usage: Usage) -> bytes:
        """Return the end of the stream: token counts if asked for, and the sentinel."""
        if not self._request.include_usage:
            return sse.DONE
        counts = usage_object(usage, n_reasoning=self._n_reasoning)
        chunk = self._head | {"choices": [], "usage": counts}
        return sse.event(orjson.dumps(chunk)) + sse.DONE

    def _take(self, index: int, result: Result | None) -> None:
        choice = self._choices[index]
        token_ids, logprobs = self._take_tokens(index)
        self._n_generated += len(token_ids)
        choice.token_ids += token_ids
        if logprobs:
            choice.logprobs += without_end(logprobs, result) if result is not None else logprobs

    def _chunk(self, index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = self._choices[index]
        logprobs = logprobs_object(choice.logprobs, self._answering.pieces) if choice.logprobs else None
        told: dict[str, Any] = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        if self._request.return_token_ids:
            told["token_ids"] = choice.token_ids
        choice.token_ids, choice.logprobs = [], []
        chunk = self._head | {"choices": [told]}
        if self._request.continuous_usage:
            n_prompt = self._answering.prepared.n_prompt_tokens
            chunk["usage"] = usage_object(Usage(n_prompt, self._n_generated, 0))
        elif self._request.include_usage:
            chunk["usage"] = None
        return chunk
