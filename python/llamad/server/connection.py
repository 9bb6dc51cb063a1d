"""One client's connection: what it may send before there is a request to answer, and how long that may take.

uvicorn's protocol takes heads of any size, in any time: a byte now and then holds a connection for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ..openai.errors import WireError, invalid

if TYPE_CHECKING:
    import asyncio
    from collections import Counter
    from collections.abc import Callable

    import uvicorn
    from uvicorn._types import ASGI3Application
    from uvicorn.server import ServerState as UvicornState

CONNECTION_KEY = "llamad.connection"
"""Where an `Exchange` finds its `Connection` in the ASGI scope."""

_LINGER_S = 2.0
"""How long what still comes is thrown away. Closing a socket with unread bytes resets the connection, and
a client that writes before it reads would never see the answer."""

_MOST_PIPELINED = 32
"""Requests that may wait behind the one being answered; each costs a kilobyte before anybody looks at it."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What clients may do before there is a request to answer.

    Attributes:
        most: connections at once; more are answered 503.
        header_s: seconds from a request's first byte, or from the beginning of the connection, to the end
            of its head; for the TLS handshake as much again.
        header_bytes: of one head, give or take what one read of the socket brings.
    """

    most: int = 1024
    header_s: float = 10.0
    header_bytes: int = 1 << 16


class Connection(HttpToolsProtocol):
    """uvicorn's side of a client's connection, which the ASGI scope does not show.

    Attributes:
        aborted: whether `abort` was called.
        waiting_since: on the loop's clock, since when no request has come; None while there is one.
    """

    aborted = False

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: UvicornState,
        limits: ConnectionLimits,
        refusals: Counter[str],
    ) -> None:
        """Make the protocol of one connection.

        Args:
            config: uvicorn's, with the application.
            server_state: shared by all connections of a listener.
            limits: what the client may do.
            refusals: counts by code what was answered without a request.
        """
        super().__init__(config, server_state, {})
        self.waiting_since: float | None = None
        self._limits = limits
        self._refusals = refusals
        self._timer: asyncio.TimerHandle | None = None
        self._refused = False
        self._refusal: WireError | None = None
        self._in_head = False
        self._in_body = False
        self._body_came = False
        self._head_bytes = 0
        self._answered: RequestResponseCycle | None = None

    @property
    def unsent_bytes(self) -> int:
        """How much is written that the kernel has not taken, since the client does not read."""
        return self.transport.get_write_buffer_size()

    @property
    def backed_up(self) -> bool:
        """Whether so much is unsent that the response waits."""
        return self.flow.write_paused

    def abort(self) -> None:
        """Close it at once; a request that is being answered ends as if the client had left."""
        self.aborted = True
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request's head; one connection too many takes the place of one that asks for nothing."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.most and not self._took_a_place():
            self._refuse(_too_many(self._limits.most))
            return
        self.waiting_since = self.loop.time()
        self._start_timer(self._limits.header_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer, too, and tell the request that is being answered.

        uvicorn tells the one that came last, which may be waiting behind it.
        """
        self._stop_timer()
        if (answered := self._answered) is not None and not answered.response_complete:
            answered.disconnected = True
            answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come; a head that does not end is bounded in size and time."""
        if self._refused:
            return
        was_within, self._body_came = self._in_head or self._in_body, False
        self._parse(data)
        if self.transport.is_closing() or self._refused:
            return
        # What the parser holds of a header that it has not seen the end of, or of a trailer behind the body.
        if was_within and (self._in_head or self._in_body) and not self._body_came:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.header_bytes:
                self._refuse(_head_too_large(self._limits.header_bytes))
                return
        if self._timer is None and not self._answering and not self._in_body:
            self._start_timer(self._limits.header_s, self._head_is_late)

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.parser.get_method() == b"CONNECT":
                self.send_400_response("this server is no proxy")
            else:
                self._parse(self._head_without_offer() + data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("this is not a request of HTTP/1.1")

    def _head_without_offer(self) -> bytes:
        # Behind an offer the parser takes no body, and Java's clients offer HTTP/2 with whatever they send.
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """Begin a request, and let it know its connection."""
        super().on_message_begin()
        self.scope[CONNECTION_KEY] = self  # type: ignore[literal-required]  # uvicorn lists its own keys
        self._in_head = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind a body, which nobody asks for, only count."""
        if not self._in_body:
            super().on_header(name, value)
        self._count(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        """Start to answer, or note what is to be answered next."""
        if self.parser.should_upgrade():
            return  # `_parse` parses it again
        if len(self.pipeline) >= _MOST_PIPELINED:
            raise ValueError("too many requests are sent before the answers are read")
        self._in_head, self._in_body = False, True
        self.waiting_since = None
        self._stop_timer()
        super().on_headers_complete()
        self.flow.resume_reading()  # uvicorn stops when requests wait, and would not see the client leave

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body_came = True
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of a request."""
        if self.parser.should_upgrade():
            return
        self._in_body = False
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request; what is left of this one's body may not take long."""
        super().on_response_complete()
        if self._answering or self.transport.is_closing():
            return
        self.waiting_since = self.loop.time()
        if self._in_body:
            self._start_timer(_LINGER_S, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or more than is allowed; uvicorn calls this where the parser fails."""
        self._refuse(self._refusal or invalid(400, "invalid_http", msg))

    @property
    def _answering(self) -> bool:
        # uvicorn's types say nothing of the None before the first request.
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]

    def _took_a_place(self) -> bool:
        """Close the connection that has waited longest without a request; return whether there is one."""
        waiting = [
            (one.waiting_since, id(one), one)
            for one in self.connections
            if isinstance(one, Connection) and one.waiting_since is not None
        ]
        if not waiting:
            return False
        _, _, longest = min(waiting)
        self._refusals["made_room"] += 1
        self.connections.discard(longest)
        longest.transport.close()
        return True

    def _count(self, n_bytes: int) -> None:
        self._head_bytes += n_bytes
        if self._head_bytes > self._limits.header_bytes:
            self._refusal = _head_too_large(self._limits.header_bytes)
            raise ValueError(self._refusal.message)  # ends the parsing

    def _head_is_late(self) -> None:
        self._timer = None
        if self._in_head:
            self._refuse(_head_late(self._limits.header_s))
        else:  # it has asked for nothing, and expects no answer
            self.transport.close()

    def _refuse(self, error: WireError) -> None:
        """Answer and close, and throw away what still comes."""
        self._refused = True
        self._refusals[error.code] += 1
        self.connections.discard(self)  # it takes nobody's place while it lingers
        self._unset_keepalive_if_required()
        if self._answering:  # in the middle of another answer there is no place for this one
            self.transport.close()
            return
        body = error.body()
        head = [STATUS_LINE[error.status]]
        for name, value in [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *error.headers(),
        ]:
            head += [name, b": ", value, b"\r\n"]
        self.transport.write(b"".join([*head, b"\r\n", body]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._start_timer(_LINGER_S, self.transport.close)

    def _start_timer(self, after_s: float, then: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(after_s, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _too_many(most: int) -> WireError:
    message = f"this server has {most} connections, and takes no more; try again later"
    return WireError(503, "server_error", "too_many_connections", message, retry_after=1)


def _head_too_large(most: int) -> WireError:
    return invalid(431, "headers_too_large", f"the request's head is larger than {most} bytes")


def _head_late(header_s: float) -> WireError:
    message = f"the request's head was not complete within {header_s:g} s"
    return WireError(408, "timeout_error", "header_timeout", message)
