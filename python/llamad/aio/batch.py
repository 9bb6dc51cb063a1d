"""`AsyncBatch`: many prompts or conversations that are answered in the background of an `AsyncEngine`."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, overload

from ..lifetime import Uncopyable
from ..progress import Progress
from ..results import Result, Results
from .home import Home, at_home
from .submission import AsyncSubmission

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType

    from ..jobs import Job
    from .submission import Runs

R = TypeVar("R", bound=Result)


class AsyncBatch(Uncopyable, Generic[R]):
    """Many prompts or conversations on their way; any loop may read it.

    They are submitted as the engine has room; generators are read as their prompts are needed, on another
    thread. Read the answers with `results()`, in order with `async for`, or as they come with
    `as_completed()`. A batch that is dropped is cancelled.

    Example:
        >>> async with await engine.submit_batch(prompts, max_tokens=64) as batch:
        ...     async for index, result in batch.as_completed():
        ...         print(index, result.text)
    """

    _INSTEAD = "take its results, which can be"

    def __init__(self, jobs: Iterable[Job[R]], engine: Runs, n_total: int | None) -> None:
        """Begin with jobs on the running loop, which is the engine's.

        Args:
            jobs: what is asked.
            engine: who answers.
            n_total: how many jobs there are; None: that is not known.
        """
        self._submission: AsyncSubmission[R] = AsyncSubmission(iter(jobs), engine, n_total)
        self._entries = self._submission.entries
        self._stats = engine.stats
        self._home = Home()
        # What the tasks of a batch refer to is its submission, so that it can be dropped, on any thread. The
        # finalizer must not hold that: a failure's traceback leads from it back to the batch.
        weakref.finalize(self, _cancel_dropped, weakref.ref(self._submission), self._home.loop).atexit = False

    @property
    def n_done(self) -> int:
        """How many are over."""
        return self._entries.n_done

    @property
    def finished(self) -> bool:
        """Whether all are over."""
        return self._entries.finished

    def cancel(self) -> None:
        """Cancel what is not over and read no further prompts; returns at once, idempotent."""
        _cancel(self._submission, self._home.loop)

    def partial(self) -> list[R | None]:
        """Return what there is by now, in order; see `Batch.partial`."""
        return self._entries.partial()

    @overload
    async def results(
        self, *, return_exceptions: Literal[False] = False, progress: bool | None = False
    ) -> Results[R]: ...
    @overload
    async def results(
        self, *, return_exceptions: bool, progress: bool | None = False
    ) -> Results[R | BaseException]: ...
    @at_home
    async def results(
        self, *, return_exceptions: bool = False, progress: bool | None = False
    ) -> Results[R] | Results[R | BaseException]:
        """Wait for all and return their results in order; cancelling the awaiting task cancels all.

        Args:
            return_exceptions: put an error in the place of its result; else the first one cancels
                the others and is raised.
            progress: show a bar; None: where stderr is a terminal, or in a notebook, and more than one
                is asked.

        Raises:
            CancelledError: (of `concurrent.futures`) the batch was cancelled before all had begun.
            LlamadError: one has failed; its message says which.
            Exception: whatever iterating the prompts, or a tool's function, raised.
        """
        entries = self._entries
        try:
            with Progress(progress, entries.n_total, self._stats) as bar:
                while not entries.all_over:
                    await self._submission.signal.wait()
                    bar.show(len(entries.over))
                    entries.check(return_exceptions=return_exceptions)
            return entries.results(return_exceptions=return_exceptions)
        except BaseException:
            self.cancel()
            raise

    @overload
    def as_completed(self, *, return_exceptions: Literal[False] = False) -> AsyncIterator[tuple[int, R]]: ...
    @overload
    def as_completed(self, *, return_exceptions: bool) -> AsyncIterator[tuple[int, R | BaseException]]: ...
    async def as_completed(self, *, return_exceptions: bool = False) -> AsyncIterator[tuple[int, Any]]:
        """Yield index and result of each as it is over; raises as `results` does."""
        for n_told in itertools.count():
            if not await self._wait_until(partial(self._entries.more_over_than, n_told)):
                return
            entry = self._entries.over[n_told]
            yield entry.index, self._told(entry.index, return_exceptions=return_exceptions)

    async def __aiter__(self) -> AsyncIterator[R]:
        """Yield the results in order, each as soon as all before it are over; raises as `results`."""
        for index in itertools.count():
            if not await self._wait_until(partial(self._entries.is_over, index)):
                return
            yield self._told(index, return_exceptions=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    @at_home
    async def _wait_until(self, condition: Callable[[], bool]) -> bool:
        """Wait until a condition holds; False where all is over before."""
        try:
            while not condition():
                if self._entries.all_over:
                    self._entries.check(return_exceptions=True)
                    return False
                await self._submission.signal.wait()
        except BaseException:
            self.cancel()
            raise
        return True

    def _told(self, index: int, *, return_exceptions: bool) -> Any:
        try:
            return self._entries.told(self._entries.all[index], return_exceptions=return_exceptions)
        except BaseException:
            self.cancel()
            raise


def _cancel_dropped(dropped: weakref.ref[AsyncSubmission[R]], loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what a dropped batch has left running, which keeps its submission alive."""
    if (submission := dropped()) is not None:
        _cancel(submission, loop)


def _cancel(submission: AsyncSubmission[R], loop: asyncio.AbstractEventLoop) -> None:
    """Cancel on the loop where the submission lives; there is nothing to do where that has ended."""
    if asyncio._get_running_loop() is loop:  # noqa: SLF001 - the public one raises where none runs
        submission.cancel()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(submission.cancel)
