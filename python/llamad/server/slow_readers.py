"""Clients that do not read: how much they may leave unread, and for how long.

A client that stops reading fills the buffers of both kernels, then uvicorn's, which pauses its
response, then the streams of its request. Nothing of that ends by itself: such a client would keep
its slot until the generation ends, and its socket for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .connection import Connection
    from .state import ServerState

_LONGEST_INTERVAL_S = 1.0

_logger = logging.getLogger("llamad.server")


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What a client may leave unread.

    Attributes:
        unread_bytes: generated text that waits while the client reads what was sent before.
        stall_s: seconds in which it may read nothing of what is sent.
    """

    unread_bytes: int
    stall_s: float


class SlowReaders:
    """Closes the connections of clients that read too slowly, which cancels what they asked for.

    It looks about once a second, so a limit may be passed by what is generated in between. Lives on
    one event loop.

    Args:
        state: its live requests are watched, and it counts who was closed for what.
        limits: what a client may leave unread.
        clock: monotonic time in seconds.
    """

    def __init__(
        self, state: ServerState, limits: ReadLimits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._state = state
        self._limits = limits
        self._clock = clock
        self._unsent: dict[Connection, tuple[int, float]] = {}

    async def run(self, connections: Callable[[], Iterable[Connection]]) -> None:
        """Look after all connections until cancelled."""
        while True:
            await asyncio.sleep(min(_LONGEST_INTERVAL_S, self._limits.stall_s / 4))
            try:
                self.check(connections())
            except Exception:  # the next look may succeed; without one, nobody would be closed any more
                _logger.exception("looking for slow readers failed")

    def check(self, connections: Iterable[Connection]) -> None:
        """Close the connections that are past a limit now."""
        self._check_unread()
        self._check_stalled(connections)

    def _check_unread(self) -> None:
        most = self._limits.unread_bytes
        for exchange in list(self._state.live):
            connection, unread = exchange.connection, exchange.unread_bytes
            if connection is None or connection.aborted:
                continue
            # Text may also wait for its handler's turn, whose client has read everything.
            if unread > most and connection.backed_up:
                self._close(connection, "unread", f"{unread} bytes of text wait to be read, over {most}")

    def _check_stalled(self, connections: Iterable[Connection]) -> None:
        now, stall_s = self._clock(), self._limits.stall_s
        before, self._unsent = self._unsent, {}
        for connection in connections:
            unsent = connection.unsent_bytes
            if unsent == 0 or connection.aborted:
                continue
            # Either direction is progress: once a response is paused, nothing is added until it shrinks.
            known, since = before.get(connection, (unsent, now))
            if unsent != known:
                since = now
            if now - since >= stall_s:
                self._close(connection, "stalled", f"it has read nothing for {stall_s:g} s")
            else:
                self._unsent[connection] = (unsent, since)

    def _close(self, connection: Connection, reason: str, what: str) -> None:
        request_ids = [e.request_id for e in self._state.live if e.connection is connection]
        request = ", ".join(request_ids) or "no request"
        _logger.warning("closing the connection of a slow client (%s): %s", request, what)
        self._state.slow_readers[reason] += 1
        connection.abort()
