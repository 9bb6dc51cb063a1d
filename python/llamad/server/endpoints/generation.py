"""What chat and completions share: from a checked request to its choices, and their way to the client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from blacksheep import Response, StreamedContent

from ...choices import Choices
from ...errors import EngineClosedError, RequestTimeoutError
from ...openai import sse
from ...openai.usage import usage_of
from ...request_options import RequestOptions
from ..client_key import client_key
from ..routing import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..._engine import Prepared
    from ...choices import Step
    from ...engine_protocol import EngineProtocol
    from ...openai.generation_request import GenerationRequest
    from ...results import Result, Usage
    from ..exchange import Exchange
    from ..state import ServerState

T = TypeVar("T")

_SMALL_BODY = 1 << 16
"""Bytes that are parsed in less than a millisecond."""

_MARKS_OF_SCHEMAS = (b"response_format", b"json_schema", b"guided_", b"structured_outputs", b"strict")
"""What a body has somewhere if it holds what must be translated into a grammar."""

Prepare = Callable[["EngineProtocol", RequestOptions], Awaitable[Sequence["Prepared"]]]
"""Turns a request into one prepared prompt or more; each has the same number of choices."""


@dataclass(frozen=True, slots=True)
class Started:
    """A request that the engine has accepted.

    Attributes:
        engine: what computes it.
        prepared: its prompts, in order.
        choices: of all prompts; those of the first come first.
    """

    engine: EngineProtocol
    prepared: Sequence[Prepared]
    choices: Choices

    def usage(self, results: Sequence[Result]) -> Usage:
        """Return the token counts of all choices together."""
        return usage_of(results, self.prepared[0].n)


class StreamWriter(Protocol):
    """Writes the events of one streamed answer."""

    def first(self) -> bytes:
        """Return the chunks that open the stream."""
        ...

    def chunks(self, steps: Sequence[Step]) -> bytes:
        """Return the chunks that carry what is new; nothing where nothing is to be told yet."""
        ...

    def last(self, usage: Usage) -> bytes:
        """Return the end of the stream."""
        ...


async def read(parse: Callable[[bytes], T], body: bytes) -> T:
    """Parse a request, on a thread where that may take long: a large one, or one with schemas to translate.

    Raises:
        RequestError: it is not a request.
    """
    if len(body) <= _SMALL_BODY and not any(mark in body for mark in _MARKS_OF_SCHEMAS):
        return parse(body)
    return await asyncio.to_thread(parse, body)


async def start(
    state: ServerState, exchange: Exchange, request: GenerationRequest, prepare: Prepare
) -> Started:
    """Prepare and submit a request, unless its client goes first.

    Nothing is sent before the request is accepted, so that whatever is wrong with it is told by a real
    status.

    Raises:
        ClientGoneError: the client went away before the request was accepted.
    """
    exchange.model = request.model
    options = RequestOptions(
        priority=request.priority,
        client=client_key(exchange.headers, request.user),
        cache_salt=request.cache_salt,
        timeout_s=request.timeout,
    )
    watch = exchange.watch()

    async def submit() -> Started:
        engine = await state.models.get(request.model)
        prepared = await prepare(engine, options)
        choices = watch.attach(Choices(engine.submit_choices(*prepared)))
        return Started(engine, prepared, choices)

    return await watch.until_gone(submit())


async def whole(exchange: Exchange, started: Started) -> list[Result]:
    """Wait for the results of all choices, in order."""
    try:
        results = _uncut(await started.choices.wait())
    except RequestTimeoutError as error:
        _note_partial(exchange, error)
        raise
    exchange.usage = started.usage(results)
    exchange.ttft_s = min(result.timings.ttft_s for result in results)
    return results


def streamed(exchange: Exchange, started: Started, writer: StreamWriter) -> Response:
    """Answer with server-sent events."""
    headers = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
    events = partial(_events, exchange, started, writer)
    return Response(200, headers, StreamedContent(b"text/event-stream; charset=utf-8", events))


async def _events(exchange: Exchange, started: Started, writer: StreamWriter) -> AsyncIterator[bytes]:
    choices = started.choices
    if opening := writer.first():  # BlackSheep takes an empty piece for the end of the response
        yield opening
    try:
        async for steps in choices:
            chunks = writer.chunks(steps)
            if chunks:
                exchange.first_text()
                yield chunks
        results = _uncut([choices.results[index] for index in range(len(choices))])
    except Exception as error:  # noqa: BLE001 - a stream that has begun can only end with an event
        _note_partial(exchange, error)
        yield sse.event(report(error, exchange.request_id).body())
    else:
        exchange.usage = started.usage(results)
        yield writer.last(exchange.usage)


def _note_partial(exchange: Exchange, error: Exception) -> None:
    if isinstance(error, RequestTimeoutError) and error.partial is not None:
        exchange.usage = error.partial.usage


def _uncut(results: list[Result]) -> list[Result]:
    """Return the results; raise an `EngineClosedError` if one is cut off and must not pass for an answer."""
    if any(result.finish_reason == "cancelled" for result in results):
        raise EngineClosedError("the generation was cancelled")
    return results
