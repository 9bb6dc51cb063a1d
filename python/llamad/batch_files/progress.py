"""A bar for the lines that are answered, with the tokens that all models compute each second."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Never, Self

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..server.state import ServerState

_LOOK_S = 0.5
_LOOKS = 20
"""How many looks back the rate is taken over."""


def tokens_of(state: ServerState) -> int:
    """Return how many tokens have been generated; where no model generates, how many have been read."""
    state.follow_engines()
    counters = [totals.counters for totals in state.ledger.totals().values()]
    generated = sum(one["generated_tokens"] for one in counters)
    return generated or sum(one["prompt_tokens"] for one in counters)


class Progress:
    """The bar; a context manager that takes it off.

    Args:
        shown: whether there is one.
        total: how many lines there will be; None where nobody knows.
        done: how many are answered already.
        tokens: counts the tokens so far.
    """

    def __init__(self, *, shown: bool, total: int | None, done: int, tokens: Callable[[], int]) -> None:
        self._tokens = tokens
        self._looks: deque[tuple[float, int]] = deque(maxlen=_LOOKS)
        self._bar: tqdm[Never] = tqdm(
            total=total, initial=done, unit="line", file=sys.stderr, disable=not shown, dynamic_ncols=True
        )

    def __enter__(self) -> Self:
        self._look()
        return self

    def __exit__(self, *_: object) -> None:
        self._look()
        self._bar.close()

    def line(self) -> None:
        """Count a line."""
        self._bar.update()

    def finish(self) -> None:
        """Take what has been counted for all there was: empty lines were expected, too."""
        self._bar.total = self._bar.n

    async def run(self) -> None:
        """Keep the bar up to date, also while nothing is finished, until cancelled."""
        while not self._bar.disable:
            await asyncio.sleep(_LOOK_S)
            self._look()

    def _look(self) -> None:
        self._looks.append((time.monotonic(), self._tokens()))
        (before, first), (now, last) = self._looks[0], self._looks[-1]
        if last > first:
            self._bar.set_postfix_str(f"{(last - first) / (now - before):.0f} tok/s", refresh=False)
        self._bar.refresh()
