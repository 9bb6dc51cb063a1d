"""`TokenStream`: one generation as an async iterator of deltas."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

from .results import Delta, Result, result_from_finish

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ._engine import Finish


class TokenStream:
    """The deltas of one accepted request, and its result once they are over.

    Lives on one event loop. The engine's drain feeds it through `push`; text that arrives while the
    reader is busy is joined, so a slow reader gets fewer, longer deltas and never holds up anybody.
    As an async context manager it cancels the request on the way out, unless that is over.

    Attributes:
        request_id: the engine's id of the request.
    """

    def __init__(self, request_id: int, cancel: Callable[[int], None]) -> None:
        self.request_id = request_id
        self._cancel = cancel
        self._pending: deque[Delta] = deque()
        self._texts: list[str] = []
        self._token_ids: list[int] = []
        self._finish: Finish | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def push(self, text: str, token_ids: list[int], finish: Finish | None) -> None:
        """Take one drained event; called on the event loop's thread."""
        if text or token_ids:
            self._texts.append(text)
            self._token_ids += token_ids
            self._pending.append(Delta(text, token_ids))
        if finish is not None:
            self._finish = finish
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    def cancel(self) -> None:
        """Ask the engine to stop at the next step; idempotent, and harmless after the end."""
        if self._finish is None:
            self._cancel(self.request_id)

    @property
    def finished(self) -> bool:
        """Whether the terminal event has arrived."""
        return self._finish is not None

    @property
    def result(self) -> Result:
        """The whole generation.

        Raises:
            RuntimeError: the generation is still running.
            EngineClosedError, GenerationError: it ended with an error.
        """
        if self._finish is None:
            raise RuntimeError("the generation is still running; iterate it to its end first")
        return result_from_finish("".join(self._texts), self._token_ids, self._finish)

    async def wait(self) -> Result:
        """Wait for the end and return the result; the deltas need not be read.

        Several tasks may wait. Cancelling one of them leaves the generation running.

        Raises:
            EngineClosedError, GenerationError: the request ended with an error.
        """
        while self._finish is None:
            await self._sleep()
        return self.result

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        """Return everything that has arrived since the last call as one delta.

        Cancelling the task that waits here cancels the request.

        Raises:
            EngineClosedError, GenerationError: the request ended with an error.
        """
        while not self._pending:
            if self._finish is not None:
                _ = self.result  # raises what went wrong
                raise StopAsyncIteration
            try:
                await self._sleep()
            except asyncio.CancelledError:
                self.cancel()
                raise
        if len(self._pending) == 1:
            return self._pending.popleft()
        deltas, self._pending = self._pending, deque()
        return Delta(
            "".join(delta.text for delta in deltas),
            [token for delta in deltas for token in delta.token_ids],
        )

    async def _sleep(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            raise
