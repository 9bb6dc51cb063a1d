"""`ThreadSignal`: wakes threads that wait, and survives Ctrl-C at any moment."""

from __future__ import annotations

import time
from _thread import LockType, allocate_lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SLICE_S = 0.5
"""Longest single wait: a signal that arrives right before the thread goes to sleep does not wake it, and
Python raises its `KeyboardInterrupt` only once it is awake."""


class ThreadSignal:
    """Wakes every thread that waits for it; each looks for itself whether that was meant for it.

    `threading.Condition` has a lock of its own, which `KeyboardInterrupt` can leave locked for ever: its
    methods are Python, between any two instructions of which a signal may come. Here nothing is shared but
    a list, whose operations are atomic, and firing costs nothing where nobody waits.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[LockType] = []

    def fire(self) -> None:
        """Wake the threads that wait now; any thread may call it, and signal handlers."""
        while self._waiters:
            try:
                waiter = self._waiters.pop()
            except IndexError:  # another thread fires as well
                return
            waiter.release()

    def wait_until(self, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until a condition holds, which whoever makes it true fires for; return whether it does."""
        ends_at = None if timeout is None else time.monotonic() + timeout
        while not condition():
            waiter = allocate_lock()
            waiter.acquire()
            self._waiters.append(waiter)
            try:
                # Asked again: what made it true may have fired before there was somebody to wake.
                if condition():
                    return True
                remaining = _SLICE_S if ends_at is None else ends_at - time.monotonic()
                if remaining <= 0:
                    return False
                waiter.acquire(timeout=min(remaining, _SLICE_S))
            finally:
                if waiter in self._waiters:
                    self._forget(waiter)
        return True

    def _forget(self, waiter: LockType) -> None:
        try:
            self._waiters.remove(waiter)
        except ValueError:  # it has just been fired
            return
