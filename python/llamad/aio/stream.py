"""`TokenStream`: one generation as an async iterator of deltas."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from ..accepted import Accepted, named
from ..results import Delta, NativeLogprobs, Result, TokenLogprobs
from .home import Home, at_home

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .._engine import Finish


class Signal:
    """Wakes every task that waits for it; each looks for itself whether that was meant for it."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def fire(self) -> None:
        """Wake the tasks that wait now."""
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    async def wait(self) -> None:
        """Wait for the next `fire`."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            raise


class TokenStream(Accepted):
    """The deltas of one accepted request, and its result once they are over.

    Lives on one event loop; others may await and iterate it, too. The engine's drain feeds it through
    `push`; text that arrives while the reader is busy is joined, so a slow reader gets fewer, longer deltas
    and never holds up anybody.
    As an async context manager it cancels the request on the way out, unless that is over.

    Attributes:
        request_id: the engine's id of the request.
        signal: fires at every event; streams that are read together share one.
        complete: makes the result of what has arrived; None leaves it as it is.
    """

    def __init__(
        self,
        request_id: int,
        cancel: Callable[[int], None],
        signal: Signal | None = None,
        home: Home | None = None,
    ) -> None:
        super().__init__(request_id, cancel)
        self.signal = signal or Signal()
        self._home = home or Home()
        self._n_texts_taken = 0
        self._n_tokens_taken = 0
        self.complete: Callable[[Result], Result] | None = None
        self._result: Result | None = None

    def push(
        self, text: str, token_ids: list[int], logprobs: NativeLogprobs | None, finish: Finish | None
    ) -> None:
        """Take one drained event; called on the event loop's thread."""
        if text or token_ids:
            self._collect(text, token_ids, named(logprobs))
        if finish is not None:
            self._finish = finish
        self.signal.fire()

    @property
    def result(self) -> Result:
        """The whole generation.

        Raises:
            RuntimeError: the generation is still running.
            EngineClosedError, RequestTimeoutError, GenerationError: it ended with an error.
            OutputError: its text fits the schema, but not the class that is to hold it.
        """
        if self._result is None:
            whole = self.whole()
            self._result = whole if self.complete is None else self.complete(whole)
        return self._result

    @property
    def unread_bytes(self) -> int:
        """How much text, in UTF-8, has arrived and not been taken."""
        return sum(len(text.encode()) for text in self._texts[self._n_texts_taken :])

    def take(self) -> Delta | None:
        """Return everything that has arrived since the last call as one delta; None if nothing has."""
        if self._n_texts_taken == len(self._texts):
            return None
        return Delta(self.take_text(), *self.take_tokens())

    def take_text(self) -> str:
        """Return the text that has arrived since the last call; its tokens are left to `take_tokens`."""
        n_taken = self._n_texts_taken
        self._n_texts_taken = len(self._texts)
        return "".join(self._texts[n_taken:])

    def take_tokens(self) -> tuple[list[int], tuple[TokenLogprobs, ...] | None]:
        """Return the token ids that have arrived since the last call, and their log-probabilities."""
        n_taken = self._n_tokens_taken
        self._n_tokens_taken = len(self._token_ids)
        logprobs = None if self._logprobs is None else tuple(self._logprobs[n_taken:])
        return self._token_ids[n_taken:], logprobs

    @at_home
    async def wait(self) -> Result:
        """Wait for the end and return the result; the deltas need not be read.

        Several tasks may wait. Cancelling one of them leaves the generation running.

        Raises:
            EngineClosedError, RequestTimeoutError, GenerationError: the request ended with an error.
        """
        while self._finish is None:
            await self.signal.wait()
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

    @at_home
    async def __anext__(self) -> Delta:
        """Return everything that has arrived since the last call as one delta.

        Cancelling the task that waits here cancels the request.

        Raises:
            EngineClosedError, RequestTimeoutError, GenerationError: the request ended with an error.
        """
        while (delta := self.take()) is None:
            if self._finish is not None:
                _ = self.result  # raises what went wrong
                raise StopAsyncIteration
            try:
                await self.signal.wait()
            except asyncio.CancelledError:
                self.cancel()
                raise
        return delta
