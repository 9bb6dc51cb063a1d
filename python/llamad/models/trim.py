"""Memory that was freed, back to the system."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def give_back_freed_memory() -> None:
    """Let the C library return to the system what nobody uses any more; takes some milliseconds.

    Without it, glibc keeps the buffers of models that are gone in its arenas: after a hundred requests of
    twenty clients for six models of 41 MiB, two of them loaded at a time, 188 MiB were resident once all were
    unloaded, and with it 70; the server had begun with 57.
    """
    _malloc_trim()(0)


@cache
def _malloc_trim() -> Callable[[int], int]:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library, which has its own ways
        return lambda _: 0
    return trim
