"""`AsyncSubmission`: the jobs of a batch on their way through an `AsyncEngine`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ..entries import AHEAD, Entries, Round, not_begun
from ..results import Result
from .stream import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .. import _engine
    from ..entries import Entry
    from ..jobs import Job
    from .stream import TokenStream

R = TypeVar("R", bound=Result)


class Runs(Protocol):
    """What a batch needs of its engine."""

    @property
    def info(self) -> _engine.ModelInfo: ...

    def stats(self) -> dict[str, Any]: ...

    async def _prepare_job(self, job: Job[R], *, stream: bool) -> _engine.Prepared: ...

    async def _submit_when_room(self, prepared: _engine.Prepared) -> TokenStream: ...


class AsyncSubmission(Generic[R]):
    """Runs the jobs of a batch as the engine has room: a task that reads them, and one for each.

    Lives on the engine's loop.

    Attributes:
        entries: what has come of the jobs.
        signal: fires when that changes.
    """

    def __init__(self, jobs: Iterator[Job[R]], engine: Runs, n_total: int | None) -> None:
        self.entries: Entries[R] = Entries(n_total)
        self.signal = Signal()
        self._jobs = jobs
        self._engine = engine
        self._places = asyncio.Semaphore(engine.info.n_parallel + AHEAD)
        self._tasks: dict[Entry[R], asyncio.Task[None]] = {}
        self._reading = asyncio.create_task(self._read_jobs())

    def cancel(self) -> None:
        """Submit no more, and ask the engine to stop what runs; idempotent."""
        self.entries.cancel()
        self._reading.cancel()
        for entry, task in self._tasks.items():
            if (latest := entry.round) is None or latest.accepted.finished:
                task.cancel()  # it is being prepared, or runs a tool's function
        self.signal.fire()

    async def _read_jobs(self) -> None:
        try:
            while not self.entries.cancelled:
                self.entries.check_engine()
                await self._places.acquire()
                if (job := await self._next_job()) is None:
                    break
                entry = self.entries.add()
                self._tasks[entry] = asyncio.create_task(self._run(entry, job))
        except Exception as error:  # noqa: BLE001 - whatever the caller's iterable raises, for the caller
            self.entries.failure = self.entries.failure or error
        finally:
            self.entries.exhausted = True
            self.signal.fire()

    async def _next_job(self) -> Job[R] | None:
        if self.entries.n_total is not None:
            return next(self._jobs, None)
        # A generator may take its time, which the loop has not.
        return await asyncio.to_thread(next, self._jobs, None)

    async def _run(self, entry: Entry[R], job: Job[R]) -> None:
        """Take a job through all of its rounds."""
        try:
            following: Job[R] | None = job
            while following is not None:
                following = await self._run_round(entry, following)
        except asyncio.CancelledError:
            if entry.round is not None:
                entry.round.accepted.cancel()
            entry.failure = None if entry.done is not None else not_begun()
        except BaseException as error:
            entry.failure = error
            if not isinstance(error, Exception):
                raise
        finally:
            entry.ended = True
            del self._tasks[entry]
            self.entries.close(entry)
            self._places.release()
            self.signal.fire()

    async def _run_round(self, entry: Entry[R], job: Job[R]) -> Job[R] | None:
        """Submit a job, note what comes of it, and return the next where there is one."""
        prepared = await self._engine._prepare_job(job, stream=False)  # noqa: SLF001 - a friend's
        stream = await self._engine._submit_when_room(prepared)  # noqa: SLF001
        entry.round = Round(job, prepared, stream)
        while not stream.finished:
            await stream.signal.wait()
        entry.done = entry.round.outcome()
        return None if self.entries.cancelled else await job.follow_up_async(entry.done)
