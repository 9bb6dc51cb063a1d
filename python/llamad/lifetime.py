"""Closes what is still open when the interpreter exits.

An engine thread that outlives the interpreter would run into llama.cpp's static destructors.
"""

from __future__ import annotations

import atexit
import weakref
from typing import Protocol


class Closeable(Protocol):
    """Anything with an idempotent `close()`."""

    def close(self) -> None: ...


_open: weakref.WeakSet[Closeable] = weakref.WeakSet()


def close_at_exit(closeable: Closeable) -> None:
    """Close this at interpreter exit, unless it is gone by then."""
    _open.add(closeable)


@atexit.register
def _close_all() -> None:
    for closeable in list(_open):
        closeable.close()
