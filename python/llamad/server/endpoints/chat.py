"""`POST /v1/chat/completions`: answering a conversation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...openai.chat_request import ChatRequest, parse_chat
from ...openai.chat_response import Answering, whole
from ...openai.chat_stream import MessageWriter, TextWriter
from ...openai.errors import blaming
from ..limits import read_json_body
from ..routing import Route, exchange_of, json_response
from . import generation

if TYPE_CHECKING:
    from blacksheep import Request, Response

    from ..._engine import Prepared
    from ...engine_protocol import EngineProtocol
    from ...request_options import RequestOptions
    from ...sampling import SamplingParams
    from ..state import ServerState


class ChatEndpoint:
    """Chat completions, streamed or whole."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the rows of this family."""
        return [Route("POST", f"{prefix}/chat/completions", self.chat_completions) for prefix in ("/v1", "")]

    async def chat_completions(self, request: Request) -> Response:
        """Answer a conversation."""
        exchange = exchange_of(request)
        body = await read_json_body(exchange, self._state.body_limits)
        parse = partial(parse_chat, trust_template=self._state.trust_request_chat_template)
        parsed = await generation.read(parse, body)
        started = await generation.start(self._state, exchange, parsed, partial(_prepare, parsed))
        (prepared,) = started.prepared
        answering = Answering(parsed, prepared, started.engine.token_pieces)
        if parsed.stream:
            return generation.streamed(exchange, started, _writer(answering, started))
        results = await generation.whole(exchange, started)
        write = partial(whole, answering, results, started.usage(results))
        return json_response(200, await generation.written(write, parsed, results))


async def _prepare(
    parsed: ChatRequest, engine: EngineProtocol, sampling: SamplingParams, options: RequestOptions
) -> list[Prepared]:
    # A conversation reaches the engine as a prompt, and whatever shapes the answer as a grammar.
    with blaming({"prompt": "messages", "grammar": parsed.constraint_field or "grammar"}):
        return [
            await engine.prepare_chat(
                parsed.conversation, sampling, stream=parsed.stream, n=parsed.n, options=options
            )
        ]


def _writer(answering: Answering, started: generation.Started) -> generation.StreamWriter:
    request = answering.request
    if answering.prepared.parser() is None and not request.wants_tokens:
        return TextWriter(request.model, request.n, include_usage=request.include_usage)
    return MessageWriter(answering, started.choices)
