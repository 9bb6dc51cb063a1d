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
from ...openai.errors import blaming_count
from ...openai.usage import usage_of
from ...request_options import RequestOptions
from ..access import require_model
from ..client_key import client_key
from ..routing import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..._engine import Prepared
    from ...choices import Step
    from ...engine_protocol import EngineProtocol
    from ...openai.generation_request import GenerationRequest
    from ...results import Result, Usage
    from ...sampling import SamplingParams
    from ..exchange import Exchange
    from ..state import ServerState

T = TypeVar("T")

_SMALL_BODY = 1 << 16
"""Bytes that are parsed in less than a millisecond."""

_MARKS_OF_SCHEMAS = (b"response_format", b"json_schema", b"guided_", b"structured_outputs", b"strict")
"""What a body has somewhere if it holds what must be translated into a grammar."""

_FEW_LOGPROBS = 1 << 12
"""Are written in a few milliseconds."""

Prepare = Callable[["EngineProtocol", "SamplingParams", RequestOptions], Awaitable[Sequence["Prepared"]]]
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
    await require_model(exchange, state.models, request.model)
    options = RequestOptions(
        priority=request.priority,
        client=client_key(exchange, request.user),
        cache_salt=request.cache_salt,
        timeout_s=request.timeout,
    )
    watch = exchange.watch()

    async def submit() -> Started:
        lease = exchange.hold(await state.models.lease(request.model, "generate"))
        engine = lease.engine
        prepared = await prepare(engine, request.sampling_with(lease.sampling), options)
        with blaming_count(request.counting_field, sum(one.n for one in prepared)):
            choices = watch.attach(Choices(engine.submit_choices(*prepared)))
        exchange.note_submitted(sum(one.n_prompt_tokens for one in prepared))
        return Started(engine, prepared, choices)

    return await watch.until_gone(submit())


async def whole(exchange: Exchange, started: Started) -> list[Result]:
    """Wait for the results of all choices, in order."""
    try:
        results = await started.choices.wait()
    except RequestTimeoutError as error:
        _note_partial(exchange, error)
        raise
    exchange.note(results, started.usage(results))
    _uncut(results)
    exchange.ttft_s = min(result.timings.ttft_s for result in results)
    return results


async def written(write: Callable[[], bytes], request: GenerationRequest, results: Sequence[Result]) -> bytes:
    """Write a whole answer, on a thread where it tells the log-probabilities of many tokens."""
    top = request.sampling.logprobs
    n_tokens = sum(len(result.token_ids) + len(result.prompt_logprobs or ()) for result in results)
    if top is None or n_tokens * (top + 1) <= _FEW_LOGPROBS:
        return write()
    return await asyncio.to_thread(write)


def streamed(exchange: Exchange, started: Started, writer: StreamWriter) -> Response:
    """Answer with server-sent events."""
    exchange.streamed = True
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
        results = [choices.results[index] for index in range(len(choices))]
        usage = started.usage(results)
        exchange.note(results, usage)
        _uncut(results)
    except Exception as error:  # noqa: BLE001 - a stream that has begun can only end with an event
        _note_partial(exchange, error)
        exchange.error = report(error, exchange.request_id)
        yield sse.event(exchange.error.body())
    else:
        yield writer.last(usage)


def _note_partial(exchange: Exchange, error: Exception) -> None:
    if isinstance(error, RequestTimeoutError) and error.partial is not None:
        exchange.note([error.partial], error.partial.usage)


def _uncut(results: list[Result]) -> None:
    """Raise an `EngineClosedError` if one of them is cut off and must not pass for an answer."""
    if any(result.finish_reason == "cancelled" for result in results):
        raise EngineClosedError("the generation was cancelled")
