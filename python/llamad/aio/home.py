"""`Home`: the event loop that an engine lives on, reachable from other loops and threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

from ..lifetime import Process

T = TypeVar("T")


class Home:
    """The running loop, and the process it runs in.

    Attributes:
        loop: the loop.
        process: its process.
    """

    __slots__ = ("loop", "process")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.process = Process()

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine here, wherever this is called; cancelling the caller cancels it.

        Raises:
            EngineClosedError: this process was forked from the one the loop runs in.
            RuntimeError: the loop runs no more.
        """
        if asyncio.get_running_loop() is self.loop:
            return await coroutine
        try:
            self._require_alive()
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except BaseException:
            coroutine.close()
            raise
        return await asyncio.wrap_future(future)

    def _require_alive(self) -> None:
        self.process.require()
        if not self.loop.is_running():
            raise RuntimeError(
                "the event loop that the engine was loaded on has ended: load the engine on this one"
            )


class Homed(Protocol):
    """Something that lives on a loop."""

    @property
    def _home(self) -> Home: ...


M = TypeVar("M", bound=Callable[..., Coroutine[Any, Any, Any]])


def at_home(method: M) -> M:
    """Make a coroutine method of a `Homed` that any loop may await; it runs on the loop of its object."""

    @wraps(method)
    async def anywhere(self: Homed, *args: Any, **kwargs: Any) -> Any:
        return await self._home.run(method(self, *args, **kwargs))

    return cast("M", anywhere)
