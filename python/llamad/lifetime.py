"""What ends with the process: open engines are closed when the interpreter exits, and none can be copied.

An engine thread that outlives the interpreter would run into llama.cpp's static destructors.
"""

from __future__ import annotations

import atexit
import os
import weakref
from typing import ClassVar, NoReturn, Protocol

from . import errors


class Closeable(Protocol):
    """Anything with an idempotent `close()`."""

    def close(self) -> None: ...


class Uncopyable:
    """Something that belongs to this process and has an identity: pickling and copying are refused."""

    _INSTEAD: ClassVar[str] = "load the model again where it is needed"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied: {self._INSTEAD}")


class Process:
    """The process that an engine was loaded in. Its threads are not there in one that was forked from it."""

    __slots__ = ("_pid",)

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_this(self) -> bool:
        """Whether this code runs there."""
        return os.getpid() == self._pid

    def require(self) -> None:
        """Raise an `EngineClosedError` in another process."""
        if not self.is_this:
            raise errors.EngineClosedError(
                f"the engine was loaded in another process ({self._pid}), and this one was forked from it: "
                "load the model here, after the fork"
            )


_open: weakref.WeakSet[Closeable] = weakref.WeakSet()


def close_at_exit(closeable: Closeable) -> None:
    """Close this at interpreter exit, unless it is gone by then."""
    _open.add(closeable)


@atexit.register
def _close_all() -> None:
    for closeable in list(_open):
        closeable.close()


# A forked child has none of the threads that its parent's engines need to close.
os.register_at_fork(after_in_child=_open.clear)
