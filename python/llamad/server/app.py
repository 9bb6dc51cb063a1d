"""The API: its routes and what they do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from blacksheep import Response, StreamedContent

from ..choices import Choices
from ..errors import EngineClosedError, RequestTimeoutError, UnknownModelError
from ..openai import chat, models, sse
from ..openai.schema import ChatRequest, parse_chat
from ..request_options import RequestOptions
from .client_key import client_key
from .exchange import Edge
from .limits import read_json_body
from .routing import Route, exchange_of, json_response, make_application, report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from blacksheep import Application, Request

    from ..results import Result
    from .disconnect import DisconnectWatch
    from .exchange import Exchange
    from .state import ServerState


class Api:
    """The handlers of the API's routes."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            Route("GET", "/healthz", self.healthz),
            Route("GET", "/v1/models", self.list_models),
            Route("GET", "/v1/models/{path:id}", self.get_model),
            Route("POST", "/v1/chat/completions", self.chat_completions),
        ]

    async def healthz(self, _: Request) -> Response:
        """Say that the process is alive and its event loop turns."""
        return json_response(200, b'{"status":"ok"}')

    async def list_models(self, _: Request) -> Response:
        """List the models there are."""
        return json_response(200, models.model_list(self._state.models.entries()))

    async def get_model(self, request: Request) -> Response:
        """Describe one model."""
        wanted = request.route_values["id"] or ""
        entries = {entry.id: entry for entry in self._state.models.entries()}
        if wanted not in entries:
            raise UnknownModelError(wanted, sorted(entries))
        return json_response(200, models.one_model(entries[wanted]))

    async def chat_completions(self, request: Request) -> Response:
        """Answer a conversation, streamed or whole.

        Nothing is sent before the request is accepted, so that whatever is wrong with it is told by
        a real status.
        """
        exchange = exchange_of(request)
        parsed = parse_chat(await read_json_body(exchange, self._state.max_body_bytes))
        exchange.model = parsed.model
        watch = exchange.watch()
        choices = await watch.until_gone(self._start(parsed, exchange, watch))
        if parsed.stream:
            writer = chat.ChunkWriter(parsed.model, parsed.n, include_usage=parsed.include_usage)
            events = partial(_events, exchange, choices, writer)
            headers = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
            return Response(200, headers, StreamedContent(b"text/event-stream; charset=utf-8", events))
        results = await _whole(exchange, choices)
        return json_response(200, chat.whole(parsed.model, results))

    async def _start(self, parsed: ChatRequest, exchange: Exchange, watch: DisconnectWatch) -> Choices:
        options = RequestOptions(
            priority=parsed.priority,
            client=client_key(exchange.headers, parsed.user),
            cache_salt=parsed.cache_salt,
            timeout_s=parsed.timeout,
        )
        engine = await self._state.models.get(parsed.model)
        prepared = await engine.prepare_chat(
            parsed.messages, parsed.sampling, stream=parsed.stream, n=parsed.n, options=options
        )
        return watch.attach(Choices(engine.submit_choices(prepared)))


async def _whole(exchange: Exchange, choices: Choices) -> list[Result]:
    try:
        results = _uncut(await choices.wait())
    except RequestTimeoutError as error:
        _note_partial(exchange, error)
        raise
    exchange.usage = chat.usage_of(results)
    exchange.ttft_s = min(result.timings.ttft_s for result in results)
    return results


async def _events(exchange: Exchange, choices: Choices, writer: chat.ChunkWriter) -> AsyncIterator[bytes]:
    yield writer.first()
    try:
        async for steps in choices:
            chunks = writer.chunks(steps)
            if chunks:  # BlackSheep takes an empty piece for the end of the response
                exchange.first_text()
                yield chunks
        results = _uncut(list(choices.results.values()))
    except Exception as error:  # noqa: BLE001 - a stream that has begun can only end with an event
        _note_partial(exchange, error)
        yield sse.event(report(error, exchange.request_id).body())
    else:
        exchange.usage = chat.usage_of(results)
        yield writer.last(results)


def _note_partial(exchange: Exchange, error: Exception) -> None:
    if isinstance(error, RequestTimeoutError) and error.partial is not None:
        exchange.usage = error.partial.usage


def _uncut(results: list[Result]) -> list[Result]:
    """Return the results; raise an `EngineClosedError` if one is cut off and must not pass for an answer."""
    if any(result.finish_reason == "cancelled" for result in results):
        raise EngineClosedError("the generation was cancelled")
    return results


def make_api(state: ServerState) -> tuple[Application, Edge]:
    """Build the API; returns the application, to be started, and the ASGI callable to serve."""
    application = make_application(Api(state).routes())
    return application, Edge(application, state)
