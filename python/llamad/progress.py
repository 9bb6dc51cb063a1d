"""`Progress`: a bar for many prompts, in a terminal or a notebook."""

from __future__ import annotations

import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

_GENERATION = (("generated_tokens", "tok/s"), ("prefilled_tokens", "prompt tok/s"))
"""Where nothing is generated, as while texts are scored, prompts are all there is."""

_INTERVAL_S = 0.5
"""How often the speed is told while nothing else changes."""


class Progress:
    """Shows how many of some prompts are over, and how fast tokens come; nothing where it is not wanted.

    Not made for several threads.

    Attributes:
        interval_s: how often to call `show` even though nothing has changed; None: there is no need.
    """

    def __init__(
        self,
        wanted: bool | None,
        n_total: int | None,
        stats: Callable[[], dict[str, Any]],
        *,
        unit: str = "prompt",
        counters: Sequence[tuple[str, str]] = _GENERATION,
    ) -> None:
        """Open a bar.

        Args:
            wanted: show it; None: where somebody can see it, and there is more than one prompt.
            n_total: how many prompts there are; None: that is not known.
            stats: of the engine.
            unit: what there are so many of.
            counters: of `stats`, each with the unit of its speed; told is the first that has counted.
        """
        if wanted is None:
            wanted = (n_total is None or n_total > 1) and (sys.stderr is not None and is_watched())
        self.interval_s = _INTERVAL_S if wanted else None
        self._stats = stats
        self._bar = _new_bar(n_total, unit) if wanted else None
        self._started_at = self._shown_at = time.monotonic()
        self._counters = counters
        self._before = stats() if wanted else {}

    def show(self, n_done: int) -> None:
        """Show that so many are over."""
        if self._bar is None:
            return
        self._bar.update(n_done - self._bar.n)
        now = time.monotonic()
        if now - self._shown_at >= _INTERVAL_S:
            self._shown_at = now
            self._tell_speed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tell_speed()
        if self._bar is not None:
            self._bar.close()

    def _tell_speed(self) -> None:
        if self._bar is None:
            return
        now, seconds = self._stats(), max(time.monotonic() - self._started_at, 1e-3)
        for name, unit in self._counters:
            if n_counted := now[name] - self._before[name]:
                self._bar.set_postfix_str(f"{n_counted / seconds:.1f} {unit}")
                return


def is_watched() -> bool:
    """Whether what is written to stderr moves before somebody's eyes: in a terminal, or a notebook."""
    return sys.stderr.isatty() or _in_notebook()


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def _new_bar(n_total: int | None, unit: str) -> Any:
    with warnings.catch_warnings():
        # In a notebook without ipywidgets tqdm warns, and draws with characters; so be it.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm  # noqa: PLC0415 - not before somebody looks

    return tqdm(total=n_total, unit=unit, dynamic_ncols=True)
