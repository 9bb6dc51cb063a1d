"""One uvicorn server on one socket, as a task on a loop that somebody else owns."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from typing import TYPE_CHECKING, Self

import uvicorn

from ..errors import SettingsError
from .connection import Connection, ConnectionLimits

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from types import TracebackType

    from .asgi import AsgiApp

_KEEP_ALIVE_S = 75
"""Longer than clients keep idle connections, so that it is the client that closes them. A server that
closes first does so now and then just as the next request arrives."""

_BACKLOG = 2048
"""Connections that may wait to be accepted."""

_UNSENT_BYTES = 1 << 14
"""How much the kernel takes of what the client's window has no room for. Its own limit is megabytes: a
client that does not read would go unnoticed for minutes, one that reads slowly would look stalled."""

_CLOSE_S = 3
"""For clients that do not read the end of their answer, when everything else is over."""


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        limits: ConnectionLimits,
        tls: ssl.SSLContext | None,
        refusals: Counter[str],
    ) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._refusals = refusals
        self._limits = limits
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections from now on, and tell.

        uvicorn's own gives the connections no limits and the TLS handshake a minute.
        """
        loop = asyncio.get_running_loop()
        handshake_s = None if self._tls is None else self._limits.header_s
        self.servers = [
            await loop.create_server(
                lambda: Connection(self.config, self.server_state, self._limits, self._refusals),
                sock=one,
                ssl=self._tls,
                backlog=_BACKLOG,
                ssl_handshake_timeout=handshake_s,
            )
            for one in sockets or ()
        ]
        self.started = True
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the lifecycle handles them, for all servers at once."""
        yield


class Listener:
    """Serves an ASGI application, from entering the context until leaving it.

    Attributes:
        address: host and port, the real one where port 0 was asked for.
    """

    def __init__(
        self,
        app: AsgiApp,
        host: str,
        port: int,
        *,
        limits: ConnectionLimits | None = None,
        tls: ssl.SSLContext | None = None,
        refusals: Counter[str] | None = None,
        flags: str = "--host, --port",
    ) -> None:
        """Bind the socket; nothing is accepted yet.

        Args:
            app: answers the requests.
            host: name or address to listen on.
            port: 0 takes any free one.
            limits: what clients may do; its defaults where absent.
            tls: what connections are encrypted with, if they are.
            refusals: counts, by code, what clients were answered before they had asked for anything.
            flags: what chooses another address, as an error names it.

        Raises:
            SettingsError: the address cannot be bound.
        """
        self._socket = _bind(host, port, flags)
        self._scheme = "http" if tls is None else "https"
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_CLOSE_S,
        )
        self._server = _Server(
            config, limits or ConnectionLimits(), tls, Counter() if refusals is None else refusals
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def connections(self) -> list[Connection]:
        """The connections that are open now."""
        connections = self._server.server_state.connections
        return [connection for connection in connections if isinstance(connection, Connection)]

    @property
    def url(self) -> str:
        """Where a client finds it."""
        host, port = self.address
        return f"{self._scheme}://[{host}]:{port}" if ":" in host else f"{self._scheme}://{host}:{port}"

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        up = asyncio.create_task(self._server.up.wait())
        await asyncio.wait((up, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not up.done():
            up.cancel()
            await self._task  # raises why it did not come up
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task


def _bind(host: str, port: int, flags: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # The interpreter appends the address to the system's words, which name it once already.
        why = str(error.strerror or error).partition(" (while attempting")[0]
        raise SettingsError(f"cannot listen on {host} port {port} ({flags}): {why}") from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)  # connections inherit it
    return listener
