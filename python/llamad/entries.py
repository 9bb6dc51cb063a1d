"""`Entries`: the jobs of a batch and what has come of each; the same for threads and for tasks."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import errors
from .results import Result, Results

if TYPE_CHECKING:
    from . import _engine
    from .accepted import Accepted
    from .jobs import Job

R = TypeVar("R", bound=Result)

AHEAD = 64
"""Requests of a batch that wait for a slot: enough that none stays empty, and the engine's queue has room for
others."""


class Round(Generic[R]):
    """One request of an entry; most need only one.

    Args:
        job: what is asked.
        prepared: of the job.
        accepted: the request.
    """

    __slots__ = ("_prepared", "accepted", "job")

    def __init__(self, job: Job[R], prepared: _engine.Prepared, accepted: Accepted) -> None:
        self.job = job
        self.accepted = accepted
        self._prepared = prepared

    def outcome(self) -> R:
        """Return what has come of it, once it is over.

        Raises:
            EngineClosedError, RequestTimeoutError, GenerationError: it ended with an error.
            OutputError: see `Job.finish`.
        """
        try:
            return self.job.finish(self.accepted.whole(), self._prepared)
        except errors.LlamadError as error:
            raise _named(error, self.job.name) from None


class Entry(Generic[R]):
    """One job of a batch and what has come of it.

    Attributes:
        index: its place in the batch.
        round: its latest request, once that is accepted; None again when the entry is over.
        ended: whether nothing runs or is about to run for it.
        done: what its latest finished round has come to.
        failure: why it has no result.
        over: whether `done` or `failure` is the last word.
    """

    __slots__ = ("done", "ended", "failure", "index", "over", "round")

    def __init__(self, index: int) -> None:
        self.index = index
        self.round: Round[R] | None = None
        self.ended = False
        self.done: R | None = None
        self.failure: BaseException | None = None
        self.over = False

    def so_far(self) -> R | None:
        """Return what has been delivered of it, if anything."""
        latest = self.round
        if latest is not None and latest.accepted.finished:
            try:
                return latest.outcome()
            except errors.LlamadError:
                pass
        return self.done


class Entries(Generic[R]):
    """The jobs of a batch, in order, as far as they have been read.

    Not locked: each attribute is written by one thread, and the operations on lists are atomic.

    Attributes:
        n_total: how many there will be; None: that is not known.
        all: those there are.
        over: those that are over, in that order.
        exhausted: whether no more will come.
        failure: why no more will come, where it is not that the jobs are at an end.
        cancelled: whether `cancel()` was called.
    """

    def __init__(self, n_total: int | None) -> None:
        self.n_total = n_total
        self.all: list[Entry[R]] = []
        self.over: list[Entry[R]] = []
        self.exhausted = False
        self.failure: BaseException | None = None
        self.cancelled = False
        self._first_failure: BaseException | None = None
        self._started_at = time.monotonic()

    @property
    def n_done(self) -> int:
        """For how many nothing runs any more."""
        return sum(entry.ended for entry in self.all)

    @property
    def finished(self) -> bool:
        """Whether nothing runs any more, and nothing will."""
        return self.exhausted and self.n_done == len(self.all)

    @property
    def all_over(self) -> bool:
        """Whether the last word is said of all."""
        return self.exhausted and len(self.over) == len(self.all)

    def add(self) -> Entry[R]:
        """Make an entry for the next job."""
        entry: Entry[R] = Entry(len(self.all))
        self.all.append(entry)
        return entry

    def is_over(self, index: int) -> bool:
        """Whether there is a last word on this one."""
        return index < len(self.all) and self.all[index].over

    def more_over_than(self, n: int) -> bool:
        """Whether the last word is said of more than so many."""
        return len(self.over) > n

    def close(self, entry: Entry[R]) -> None:
        """Note that the last word on this one is said."""
        if not entry.over:
            self._first_failure = self._first_failure or entry.failure
            entry.over, entry.round = True, None
            self.over.append(entry)

    def cancel(self) -> None:
        """Ask the engine to stop all that runs; who submits has to look at `cancelled`."""
        self.cancelled = True
        if not self.exhausted and len(self.all) != self.n_total:
            # Said here: who reads the jobs may be waiting for the caller's next prompt.
            self.failure = self.failure or not_begun()
        self.exhausted = True
        for entry in self.all:
            if (latest := entry.round) is not None:
                latest.accepted.cancel()

    def partial(self) -> list[R | None]:
        """Return what has been delivered, in order; None for what has not, or has failed."""
        told = [entry.so_far() for entry in self.all]
        return told + [None] * ((self.n_total or 0) - len(told))

    def check(self, *, return_exceptions: bool) -> None:
        """Raise what is wrong as soon as it is known: with the jobs, or with one of them."""
        if self.failure is not None:
            raise self.failure
        if not return_exceptions and self._first_failure is not None:
            raise self._first_failure

    def check_engine(self) -> None:
        """Raise the `EngineClosedError` that has ended some; it would end all that follow."""
        if isinstance(self._first_failure, errors.EngineClosedError):
            raise self._first_failure

    def told(self, entry: Entry[R], *, return_exceptions: bool) -> Any:
        """Return the result of one that is over; or its error, where that is asked for."""
        if entry.failure is None:
            return entry.done
        if not return_exceptions:
            raise entry.failure
        return entry.failure

    def results(self, *, return_exceptions: bool) -> Results[Any]:
        """Return the results of all, which are over."""
        if self.failure is not None:
            raise self.failure
        told = [self.told(entry, return_exceptions=return_exceptions) for entry in self.all]
        return Results(told, elapsed_s=time.monotonic() - self._started_at)


def not_begun() -> CancelledError:
    """Return the failure of what a cancelled batch has not begun."""
    return CancelledError("the batch was cancelled before this began; its partial() has what there is")


def _named(error: errors.LlamadError, name: str | None) -> errors.LlamadError:
    """Return the same error with a message that begins with the name of what it is about."""
    if name is not None and not isinstance(error, errors.EngineClosedError):
        error.args = (f"{name}: {error}", *error.args[1:])
    return error
