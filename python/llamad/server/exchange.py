"""One HTTP request and its answer: identity, log line, and what must happen however it ends."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, TypeVar

from ..openai.errors import STOPPING, WireError
from .access_log import CLIENT_GONE
from .connection import CONNECTION_KEY
from .disconnect import DisconnectWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..models.lease import Lease
    from ..results import Result, Timings, Usage
    from .asgi import AsgiApp, Message, Receive, Scope, Send
    from .connection import Connection
    from .keys import Key

E = TypeVar("E")

SCOPE_KEY = "llamad.exchange"
"""Where a handler finds its `Exchange` in the ASGI scope."""

ALIVE_PATH = "/healthz"
"""Answered to the end: the process is alive while it drains."""

_SANE_ID = re.compile(rb"[A-Za-z0-9._:\-]{1,128}")


class Exchange:
    """One request and its answer.

    Args:
        scope: of ASGI, as are the next two.
        receive: see there.
        send: see there.
        on_hold: called with each lease that it begins to hold.

    Attributes:
        request_id: the client's `x-request-id` if it is a sane one, else a new one.
        status: of the answer; 0 until there is one.
        method: of HTTP.
        path: without the query.
        peer: the client's address; None where that is unknown.
        key: the API key that it came with; None where it needed none, or had none.
        key_name: of that key.
        extra_headers: go with the answer, whatever it is.
        model: id of the model asked for; None where that is unknown.
        streamed: whether the answer is a stream of events.
        usage: token counts, once a generation has ended.
        timings: of its first choice, once that has ended; None for what generates nothing.
        finish_reasons: of all choices, once they have ended.
        error: what the client was told instead of an answer, or at the end of its stream.
        let_in: whether it got past the door, where a server that drains lets nobody in.
        started: when it came, by `time.perf_counter`.
        submitted: when the engine got it, by the same clock; None where it did not get that far.
        n_prompt_tokens: of the prompts that it got then.
        ttft_s: seconds until the first text was ready to send.
        trace_id: of the trace that it is part of; None where there is none.
        last_on_connection: answer with `Connection: close`.
        connection: whence the request came; None where some other server runs this application.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, on_hold: Callable[[Lease[Any]], None]
    ) -> None:
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"")
        sane = _SANE_ID.fullmatch(given) is not None
        self.request_id = given.decode() if sane else f"req-{secrets.token_hex(12)}"
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.status = 0
        self.peer: str | None = client[0] if (client := scope.get("client")) else None
        self.key: Key | None = None
        self.key_name: str | None = None
        self.extra_headers: list[tuple[bytes, bytes]] = []
        self.model: str | None = None
        self.streamed = False
        self.usage: Usage | None = None
        self.timings: Timings | None = None
        self.finish_reasons: tuple[str, ...] = ()
        self.error: WireError | None = None
        self.let_in = False
        self.started = time.perf_counter()
        self.submitted: float | None = None
        self.n_prompt_tokens = 0
        self.ttft_s: float | None = None
        self.trace_id: str | None = None
        self.last_on_connection = False
        self.connection: Connection | None = scope.get(CONNECTION_KEY)
        self.receive = receive
        self._send = send
        self._task = asyncio.current_task()
        self._watch: DisconnectWatch | None = None
        self._aborted = False
        self._on_hold = on_hold
        self._leases: list[Lease[Any]] = []
        self._over = False

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
            self.ttft_s = time.perf_counter() - self.started

    def note_submitted(self, n_prompt_tokens: int) -> None:
        """Note that the engine has just accepted it."""
        self.submitted = time.perf_counter()
        self.n_prompt_tokens = n_prompt_tokens

    def hold(self, lease: Lease[E]) -> Lease[E]:
        """Keep a lease until the request has left; returns it."""
        self._on_hold(lease)
        if self._over:
            lease.release()
        self._leases.append(lease)
        return lease

    @property
    def tokens_so_far(self) -> int:
        """How many tokens it has cost that are known of: of its prompts, and generated."""
        return self.n_prompt_tokens + (0 if self._watch is None else self._watch.n_generated)

    def note(self, results: Sequence[Result], usage: Usage) -> None:
        """Note how its choices ended, and what they cost together."""
        self.usage = usage
        self.timings = results[0].timings
        self.finish_reasons = tuple(result.finish_reason for result in results)

    def send(self, message: Message) -> Awaitable[None]:
        """Send one ASGI message; the answer's headers get the request's id and how long it took so far."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            took_ms = (time.perf_counter() - self.started) * 1e3
            message["headers"] += [
                (b"x-request-id", self.request_id.encode()),
                (b"openai-processing-ms", b"%d" % took_ms),
            ]
            message["headers"] += self.extra_headers
            if self.last_on_connection:
                message["headers"].append((b"connection", b"close"))
        return self._send(message)

    async def send_error(self, error: WireError) -> None:
        """Answer with an error, from outside of any handler."""
        self.error = error
        body = error.body()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        headers += error.headers()
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def abort(self) -> None:
        """Cut the request off: answer 503 if nothing has been sent, else end the connection."""
        self._aborted = True
        self.error = STOPPING
        if self._task is not None:
            self._task.cancel()

    async def run(self, app: AsgiApp, scope: Scope) -> None:
        """Let the application answer; whatever happens, no generation outlives the request."""
        self.let_in = True
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
            self._over = True
            for lease in self._leases:
                lease.release()
