"""Ctrl-C without a keyboard: interrupts of the main thread."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llamad.blocking.thread_signal import ThreadSignal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_WAIT_S = 60.0
_AGAIN_S = 0.05


class Interrupts:
    """Interrupts the main thread; by SIGUSR1, because a shell may have SIGINT ignored."""

    def __init__(self) -> None:
        self._main_thread = threading.main_thread().ident or 0
        self._threads: list[threading.Thread] = []

    def now(self) -> None:
        signal.pthread_kill(self._main_thread, signal.SIGUSR1)

    def after(self, delay_s: float) -> None:
        """Interrupt whatever it does then."""
        self._start(threading.Timer(delay_s, self.now))

    def when(self, condition: Callable[[], bool]) -> None:
        """Interrupt it where it waits for an engine and the condition holds."""
        self._start(threading.Thread(target=self._watch, args=(condition,)))

    def join(self) -> None:
        """Wait until all have been sent."""
        while self._threads:
            self._threads.pop().join()

    def _start(self, thread: threading.Thread) -> None:
        self._threads.append(thread)
        thread.start()

    def _watch(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _WAIT_S
        while not (self._waits() and condition()) and time.monotonic() < deadline:
            time.sleep(0.005)
        self.now()

    def _waits(self) -> bool:
        frame = sys._current_frames().get(self._main_thread)
        while frame is not None and frame.f_code is not ThreadSignal.wait_until.__code__:
            frame = frame.f_back
        return frame is not None


@contextmanager
def interrupts_of_main_thread() -> Iterator[Interrupts]:
    """Let interrupts raise `KeyboardInterrupt`.

    Where one comes while the garbage collector runs a finalizer or the callback of a weak reference, Python
    drops the exception. A user would press Ctrl-C again; so does this.
    """

    interrupts = Interrupts()

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def dropped(what: sys.UnraisableHookArgs) -> None:
        if what.exc_type is KeyboardInterrupt:
            interrupts.after(_AGAIN_S)
        else:
            report(what)

    report, sys.unraisablehook = sys.unraisablehook, dropped
    previous = signal.signal(signal.SIGUSR1, interrupt)
    try:
        yield interrupts
    finally:
        interrupts.join()
        signal.signal(signal.SIGUSR1, previous)
        sys.unraisablehook = report
