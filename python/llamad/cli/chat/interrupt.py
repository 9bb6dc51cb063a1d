"""`Stopping`: Ctrl-C ends an answer, not the chat."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType


class Cancellable(Protocol):
    """What runs until it is cancelled: a `Generation`."""

    def cancel(self) -> None: ...


_PRESSES_TO_LEAVE = 3
"""Stopping takes as long as the step that is being computed, and some press twice."""


class Stopping:
    """While this is open, SIGINT cancels a generation; the third one raises `KeyboardInterrupt`.

    A `KeyboardInterrupt` may come between any two instructions, and would lose the text that had come until
    then. Only the main thread may open this.
    """

    def __init__(self) -> None:
        self._presses = 0
        self._generation: Cancellable | None = None
        self._before: Any = None

    def watch(self, generation: Cancellable) -> None:
        """Say what is to be cancelled; at once, if the user has asked already."""
        self._generation = generation
        if self._presses:
            generation.cancel()

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._presses += 1
        if self._presses == _PRESSES_TO_LEAVE:
            raise KeyboardInterrupt
        if self._generation is not None:
            self._generation.cancel()


@contextmanager
def unheeded() -> Iterator[None]:
    """While this is open, SIGINT does nothing: one that comes between an answer and the prompt is late."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
