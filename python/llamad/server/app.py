"""The API: its routes and what they do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from blacksheep import Response, StreamedContent

from ..errors import EngineClosedError, UnknownModelError
from ..openai import chat, models, sse
from ..openai.schema import ChatRequest, parse_chat
from .exchange import Edge
from .limits import read_json_body
from .routing import Route, exchange_of, json_response, make_application, report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from blacksheep import Application, Request

    from ..results import Result
    from ..stream import TokenStream
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
        stream = await watch.until_gone(self._start(parsed, watch))
        if parsed.stream:
            writer = chat.ChunkWriter(parsed.model, include_usage=parsed.include_usage)
            events = partial(_events, exchange, stream, writer)
            headers = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
            return Response(200, headers, StreamedContent(b"text/event-stream; charset=utf-8", events))
        result = _completed(exchange, await stream.wait())
        exchange.ttft_s = result.timings.ttft_s
        return json_response(200, chat.whole(parsed.model, result))

    async def _start(self, parsed: ChatRequest, watch: DisconnectWatch) -> TokenStream:
        engine = await self._state.models.get(parsed.model)
        prepared = await engine.prepare_chat(parsed.messages, parsed.sampling, stream=parsed.stream)
        return watch.attach(engine.submit(prepared))


async def _events(exchange: Exchange, stream: TokenStream, writer: chat.ChunkWriter) -> AsyncIterator[bytes]:
    yield writer.first()
    try:
        async for delta in stream:
            if delta.text:  # BlackSheep takes an empty piece for the end of the response
                exchange.first_text()
                yield writer.delta(delta.text)
        result = _completed(exchange, stream.result)
    except Exception as error:  # noqa: BLE001 - a stream that has begun can only end with an event
        yield sse.event(report(error, exchange.request_id).body())
    else:
        yield writer.last(result)


def _completed(exchange: Exchange, result: Result) -> Result:
    """Note what the request cost, and refuse to pass a cut-off text for an answer.

    Raises:
        EngineClosedError: the generation was cancelled.
    """
    exchange.usage = result.usage
    if result.finish_reason == "cancelled":
        raise EngineClosedError("the generation was cancelled")
    return result


def make_api(state: ServerState) -> tuple[Application, Edge]:
    """Build the API; returns the application, to be started, and the ASGI callable to serve."""
    application = make_application(Api(state).routes())
    return application, Edge(application, state)
