"""One HTTP request and its answer: identity, log line, and what must happen however it ends."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from typing import TYPE_CHECKING

from ..openai.errors import STOPPING, WireError
from .disconnect import DisconnectWatch
from .slow_readers import CONNECTION_KEY

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..results import Usage
    from .asgi import AsgiApp, Message, Receive, Scope, Send
    from .slow_readers import Connection
    from .state import ServerState

SCOPE_KEY = "llamad.exchange"
"""Where a handler finds its `Exchange` in the ASGI scope."""

ALIVE_PATH = "/healthz"
"""Answered to the end: the process is alive while it drains."""

CLIENT_GONE = 499
"""Logged, never sent: the client closed the connection before it was answered (nginx's number)."""

_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
_LONGEST_LOGGED = 128

_SANE_ID = re.compile(rb"[A-Za-z0-9._:\-]{1,128}")
_access_log = logging.getLogger("llamad.access")


class Exchange:
    """One request and its answer.

    Attributes:
        request_id: the client's `x-request-id` if it is a sane one, else a new one.
        status: of the answer; 0 until there is one.
        model: id of the model asked for; "-" where that is unknown.
        usage: token counts, once a generation has ended.
        ttft_s: seconds until the first text was ready to send.
        last_on_connection: answer with `Connection: close`.
        connection: whence the request came; None where some other server runs this application.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"")
        sane = _SANE_ID.fullmatch(given) is not None
        self.request_id = given.decode() if sane else f"req-{secrets.token_hex(12)}"
        self.status = 0
        self.model = "-"
        self.usage: Usage | None = None
        self.ttft_s: float | None = None
        self.last_on_connection = False
        self.connection: Connection | None = scope.get(CONNECTION_KEY)
        self.receive = receive
        self._send = send
        self._what = f"{scope['method']} {_printable(scope['path'])}"
        self._started = time.perf_counter()
        self._task = asyncio.current_task()
        self._watch: DisconnectWatch | None = None
        self._aborted = False

    def watch(self) -> DisconnectWatch:
        """Start to watch for the client's going; the body must have been read."""
        self._watch = DisconnectWatch(self.receive)
        return self._watch

    @property
    def gone(self) -> bool:
        """Whether the client is known to have gone."""
        return self._watch is not None and self._watch.gone

    @property
    def unread_bytes(self) -> int:
        """How much generated text waits for the client to read what was sent before."""
        return 0 if self._watch is None else self._watch.unread_bytes

    def first_text(self) -> None:
        """Note that the first text is ready to send."""
        if self.ttft_s is None:
            self.ttft_s = time.perf_counter() - self._started

    def send(self, message: Message) -> Awaitable[None]:
        """Send one ASGI message; the answer's headers get the request's id and how long it took so far."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            took_ms = (time.perf_counter() - self._started) * 1e3
            message["headers"] += [
                (b"x-request-id", self.request_id.encode()),
                (b"openai-processing-ms", b"%d" % took_ms),
            ]
            if self.last_on_connection:
                message["headers"].append((b"connection", b"close"))
        return self._send(message)

    async def send_error(self, error: WireError) -> None:
        """Answer with an error, from outside of any handler."""
        body = error.body()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        headers += error.headers()
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def abort(self) -> None:
        """Cut the request off: answer 503 if nothing has been sent, else end the connection."""
        self._aborted = True
        if self._task is not None:
            self._task.cancel()

    async def run(self, app: AsgiApp, scope: Scope) -> None:
        """Let the application answer; whatever happens, no generation outlives the request."""
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self._aborted or self.status != 0:
                raise
            self.last_on_connection = True
            await self.send_error(STOPPING)
        finally:
            if self._watch is not None:
                self._watch.close()
                if self._watch.gone:
                    self.status = CLIENT_GONE

    def log(self) -> None:
        """Write the request's line into the access log."""
        tokens = "-" if self.usage is None else f"{self.usage.prompt_tokens}+{self.usage.completion_tokens}"
        ttft = "-" if self.ttft_s is None else f"{self.ttft_s * 1e3:.1f}"
        _access_log.info(
            "%s %s model=%s status=%d tokens=%s ttft_ms=%s duration_ms=%.1f",
            self.request_id,
            self._what,
            _printable(self.model),
            self.status,
            tokens,
            ttft,
            (time.perf_counter() - self._started) * 1e3,
        )


def _printable(text: str) -> str:
    """Make a client's text fit for a log: it can neither break the line nor drive a terminal."""
    return _UNPRINTABLE.sub("?", text[:_LONGEST_LOGGED])


class Edge:
    """The outermost ASGI application: makes the `Exchange` and refuses new work while draining."""

    def __init__(self, app: AsgiApp, state: ServerState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = scope[SCOPE_KEY] = Exchange(scope, receive, send)
        self._state.enter(exchange)
        try:
            exchange.last_on_connection = self._state.draining
            if self._state.draining and scope["path"] != ALIVE_PATH:
                await exchange.send_error(STOPPING)
            else:
                await exchange.run(self._app, scope)
        finally:
            self._state.leave(exchange)
            exchange.log()
