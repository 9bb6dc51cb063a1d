"""Writing the log from a thread of its own.

Whoever reads the log, a pipe to a collector or a terminal that somebody has stopped, may stop reading. A
write from the event loop would then stop every request; here lines wait, as many as there is room for, and
those beyond are counted instead. The log tells of them as soon as it is read again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from queue import Empty, SimpleQueue

MOST_WAITING = 10_000
"""Lines; at a few hundred bytes each they take a few MiB."""

_MOST_AT_ONCE = 256
_FLUSH_S = 1.0


class BackgroundHandler(logging.Handler):
    """Hands formatted lines to a thread that writes them; never blocks its caller.

    Args:
        descriptor: where to write; it is not closed.
        most_waiting: lines that may wait to be written.
    """

    def __init__(self, descriptor: int, most_waiting: int = MOST_WAITING) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._most_waiting = most_waiting
        # Lines, and events to set when all before them has been written.
        self._waiting: SimpleQueue[str | threading.Event] = SimpleQueue()
        self._n_lost = 0
        threading.Thread(target=self._write_forever, name="llamad-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; the caller holds the handler's lock."""
        if self._waiting.qsize() >= self._most_waiting:
            self._n_lost += 1
            return
        try:
            self._waiting.put(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - `handleError` is where logging wants to hear of it
            self.handleError(record)

    def flush(self) -> None:
        """Wait until what has been logged is written, but no longer than a second."""
        written = threading.Event()
        self._waiting.put(written)
        written.wait(_FLUSH_S)

    def _write_forever(self) -> None:
        while True:
            lines, events = self._next()
            # An error means that the reader has gone: there is nobody to tell, and the server goes on.
            with contextlib.suppress(OSError):
                self._write("".join(lines).encode(errors="backslashreplace"))
            for event in events:
                event.set()

    def _next(self) -> tuple[list[str], list[threading.Event]]:
        lines: list[str] = []
        events: list[threading.Event] = []
        entry = self._waiting.get()
        while True:
            if isinstance(entry, str):
                lines.append(entry)
            else:
                events.append(entry)
            if len(lines) == _MOST_AT_ONCE:
                break
            try:
                entry = self._waiting.get_nowait()
            except Empty:
                break
        if lost := self._take_lost():
            lines.append(self._told_lost(lost))
        return lines, events

    def _take_lost(self) -> int:
        self.acquire()  # `emit` is called under this lock
        try:
            lost, self._n_lost = self._n_lost, 0
        finally:
            self.release()
        return lost

    def _told_lost(self, lost: int) -> str:
        message = "%d lines of the log are lost: nobody read it, and no more could wait"
        about = {"name": "llamad.log", "levelno": logging.WARNING, "levelname": "WARNING"}
        return self.format(logging.makeLogRecord(about | {"msg": message, "args": (lost,)})) + "\n"

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # somebody who shares the descriptor has made it non-blocking
                select.select([], [self._descriptor], [])
