"""A look, four times a second, at the event loop itself and at which engines there are."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .metrics_ledger import Histogram
    from .state import ServerState

_PERIOD_S = 0.25


class LoopLag:
    """How late the event loop is: every stream waits at least as long for its next token."""

    BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

    def __init__(self) -> None:
        self._counts = [0] * (len(self.BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count from when a timer was due until it ran."""
        self._counts[bisect_left(self.BOUNDS, seconds)] += 1
        self._sum += seconds

    @property
    def histogram(self) -> Histogram:
        """What has been observed."""
        return self.BOUNDS, self._counts, self._sum


async def watch(state: ServerState) -> None:
    """Feed the state's `loop_lag` and `ledger` until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _PERIOD_S
        await asyncio.sleep(_PERIOD_S)
        state.loop_lag.observe(max(0.0, loop.time() - due))
        state.follow_engines()
