"""A streaming client that costs little: raw protocol, no JSON per chunk.

It shares the machine with the server that it measures, so a read is only time-stamped and searched
for text. Every request has a connection of its own, opened before its clock starts: llama-server
announces keep-alive, and yet closes the connection behind a streamed answer.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

_END_OF_BODY = b"\n0\r\n\r\n"
"""The last chunk, behind the end of the one before. Events have bare newlines, so none looks like it."""
_CONTENT = re.compile(rb'"content": ?"[^"]')
"""A delta with text; servers also send empty ones, some before any token exists."""
_KEPT_READS = 8
"""Reads kept for the usage at the end; it comes in the last event, which may be cut in two."""


@dataclass(slots=True)
class Trace:
    """What the client saw of one request; times in seconds of `time.perf_counter`.

    Attributes:
        sent: when the request was written.
        arrivals: when each read that carried text arrived.
        prompt_tokens: from the `usage` of the last event, as the two below.
        completion_tokens: a read may carry several tokens, so tokens are never counted by reads.
        cached_tokens: prompt tokens that the server found in its cache.
        answer: the text, if it was asked for.
    """

    sent: float
    arrivals: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    answer: str = ""

    @property
    def ttft(self) -> float:
        """From sending the request until its first text."""
        return self.arrivals[0] - self.sent

    @property
    def gaps(self) -> list[float]:
        """Pauses between one read and the next of this stream."""
        return [after - before for before, after in zip(self.arrivals, self.arrivals[1:], strict=False)]


class LoadError(Exception):
    """A server answered with something other than a complete stream."""


class Exchange(asyncio.Protocol):
    """One connection for one request."""

    def __init__(self, *, keep_answer: bool) -> None:
        self._transport: asyncio.Transport | None = None
        self._trace = Trace(sent=0.0)
        self._ended: asyncio.Future[Trace] = asyncio.get_running_loop().create_future()
        self._keep_answer = keep_answer
        self._reads: deque[bytes] = deque(maxlen=None if keep_answer else _KEPT_READS)
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        if not self._reads and not data.startswith(b"HTTP/1.1 200"):
            self._fail(f"refused: {data[:500].decode(errors='replace')}")
            return
        self._reads.append(data)
        if _CONTENT.search(data):
            self._trace.arrivals.append(now)
        # Only what a read shorter than the terminator needs of the reads before it is kept.
        self._tail = data if len(data) >= len(_END_OF_BODY) else self._tail[-len(_END_OF_BODY) :] + data
        if self._tail.endswith(_END_OF_BODY):
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"connection lost: {exc}")

    async def send(self, request: bytes) -> Trace:
        """Write the request, wait for the end of its stream, and close the connection.

        Raises:
            LoadError: the answer is an error, or breaks off.
        """
        assert self._transport is not None
        self._trace.sent = perf_counter()
        self._transport.write(request)
        try:
            return await self._ended
        finally:
            self._transport.close()

    def _finish(self) -> None:
        end = b"".join(self._reads)
        trace = self._trace
        trace.prompt_tokens = _last_number(end, b"prompt_tokens")
        trace.completion_tokens = _last_number(end, b"completion_tokens")
        trace.cached_tokens = _last_number(end, b"cached_tokens")
        if not trace.completion_tokens or not trace.arrivals or b"data: [DONE]" not in end:
            self._fail(f"incomplete stream, it ends with {end[-500:].decode(errors='replace')}")
            return
        if self._keep_answer:
            trace.answer = answer_text(end)
        if not self._ended.done():
            self._ended.set_result(trace)

    def _fail(self, message: str) -> None:
        if not self._ended.done():
            self._ended.set_exception(LoadError(message))


def _last_number(text: bytes, name: bytes) -> int:
    found = re.findall(rb'"%s": ?(\d+)' % name, text)
    return int(found[-1]) if found else 0


def http_request(port: int, body: bytes) -> bytes:
    """Frame a chat-completion body as an HTTP/1.1 request."""
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (port, len(body), body)
    )


def answer_text(response: bytes) -> str:
    """The text of a complete streamed chat completion: all its deltas joined.

    Args:
        response: head and chunked body, as they came over the connection.
    """
    events = _unchunked(response).split(b"\n\n")
    payloads = [event.removeprefix(b"data: ") for event in events if event.startswith(b"data: {")]
    choices = [choice for payload in payloads for choice in json.loads(payload)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def _unchunked(response: bytes) -> bytes:
    """The body of a response with `Transfer-Encoding: chunked`."""
    parts: list[bytes] = []
    position = response.index(b"\r\n\r\n") + 4
    while True:
        end = response.index(b"\r\n", position)
        length = int(response[position:end], 16)
        if not length:
            return b"".join(parts)
        parts.append(response[end + 2 : end + 2 + length])
        position = end + 4 + length
