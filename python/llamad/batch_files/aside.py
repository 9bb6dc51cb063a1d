"""`Aside`: calls that block, on a thread that an event loop can wait for and the process need not."""

from __future__ import annotations

import asyncio
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Aside:
    """Makes calls on a thread of its own, in the order in which they are asked for.

    The thread is a daemon: it may wait for ever for whoever is at the other end of a pipe, and nothing could
    end that. Lives on one event loop.

    Args:
        name: of the thread, which begins with the first call.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._asked: SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._begun = False

    async def call(self, function: Callable[[], T]) -> T:
        """Return what the function returns; cancelling that does not end it.

        Raises:
            Exception: what it has raised.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.put((future, function))
        if not self._begun:
            self._begun = True
            Thread(target=self._run, name=self._name, daemon=True).start()
        return await future

    def _run(self) -> None:
        while True:
            future, function = self._asked.get()
            result, error = None, None
            try:
                result = function()
            except Exception as raised:  # noqa: BLE001 - whoever asked is told
                error = raised
            try:
                future.get_loop().call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return


def _settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():  # cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
