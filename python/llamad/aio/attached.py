"""`Attached`: a native engine on an event loop, whatever it computes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from .. import errors
from ..lifetime import Uncopyable, close_at_exit
from .home import Home, at_home

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_THREADS = 2
"""Templating and tokenizing take 1 to 9 ms and release the GIL; two threads keep them off the loop."""


class Native(Protocol):
    """What every native engine has: a descriptor that is readable while there are events, and an end."""

    def fileno(self) -> int: ...

    def close(self) -> None: ...


N = TypeVar("N", bound=Native)
T = TypeVar("T")


class Attached(Uncopyable, Generic[N]):
    """Owns the reader of a native engine's descriptor, threads that prepare requests, and the engine's end.

    Belongs to the loop that it is made on; its coroutines may be awaited on others, in other threads.
    """

    def __init__(self, native: N) -> None:
        """Attach a native engine to the running loop."""
        self._native = native
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="llamad-prepare")
        self._home = Home()
        self._closing: asyncio.Task[None] | None = None
        self._loop.add_reader(native.fileno(), self._drain)
        close_at_exit(native)

    @property
    def closed(self) -> bool:
        """Whether `close()` has come to its end, so that no request is left."""
        return self._closing is not None and self._closing.done()

    @at_home
    async def close(self) -> None:
        """End every request with an error event, stop the engine and free the model; idempotent."""
        if self._closing is None:
            # What waits for a thread runs still, and learns that the engine is closed.
            self._pool.shutdown(wait=False)
            self._closing = self._loop.create_task(self._shut_down())
        # Shielded: who gives up waiting must not leave the engine half closed for the others.
        await asyncio.shield(self._closing)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._home.loop

    async def _off_loop(self, function: Callable[[], T]) -> T:
        """Run a function on one of the threads that prepare; from any loop."""
        self._home.process.require()
        if self._closing is not None:
            raise errors.EngineClosedError("the engine is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    async def _shut_down(self) -> None:
        await asyncio.to_thread(self._native.close)
        self._drain()
        self._loop.remove_reader(self._native.fileno())

    def _drain(self) -> None:
        """Hand the events there are to those who wait for them."""
        raise NotImplementedError
