"""The outermost layer: each request gets its `Exchange`, is let in or refused, and is accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..openai.errors import STOPPING, WireError
from . import access_log
from .exchange import ALIVE_PATH, SCOPE_KEY, Exchange

if TYPE_CHECKING:
    from .asgi import AsgiApp, Receive, Scope, Send
    from .cors import Headers
    from .state import ServerState


class Edge:
    """The outermost ASGI application: makes the `Exchange` and refuses whom the gate does not let in.

    While draining it refuses all new work.
    """

    def __init__(self, app: AsgiApp, state: ServerState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = scope[SCOPE_KEY] = Exchange(scope, receive, send, self._state.follow)
        self._state.enter(exchange)
        try:
            match self._answer_at_once(exchange):
                case None:
                    await exchange.run(self._app, scope)
                case WireError() as error:
                    await exchange.send_error(error)
                case headers:
                    await exchange.send({"type": "http.response.start", "status": 204, "headers": headers})
                    await exchange.send({"type": "http.response.body", "body": b""})
        finally:
            self._state.gate.leave(exchange)
            self._state.leave(exchange)
            if self._state.trace is not None:
                self._state.trace(exchange)
            access_log.write(exchange)
            # The two hold each other, and an engine that is to be freed, until garbage is collected.
            del scope[SCOPE_KEY]

    def _answer_at_once(self, exchange: Exchange) -> Headers | WireError | None:
        exchange.last_on_connection = self._state.draining
        gate = self._state.gate
        if (answer := gate.preflight(exchange)) is not None:
            return answer
        if self._state.draining and exchange.path != ALIVE_PATH:
            return STOPPING
        return gate.refusal(exchange)
