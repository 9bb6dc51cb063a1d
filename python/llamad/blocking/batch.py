"""`Batch`: many prompts or conversations that are answered in the background of a blocking `Engine`."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sized
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, overload

from .. import errors
from ..lifetime import Uncopyable
from ..progress import Progress
from ..results import Result, Results
from .submission import Submission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from ..entries import Entry
    from ..jobs import Job
    from .delivery import Delivery

R = TypeVar("R", bound=Result)


class Batch(Uncopyable, Generic[R]):
    """Many prompts or conversations on their way; usable from any thread.

    They are submitted as the engine has room, in the background; generators are read as their prompts are
    needed, on another thread. Read the answers with `results()`, in order by iterating, or as they come with
    `as_completed()`: Ctrl-C while one of these waits cancels everything and raises
    `GenerationInterrupted`. With `run_tools`, the functions that a model calls run on the thread that
    reads. A batch that is dropped is cancelled.

    Example:
        >>> with engine.submit_batch(prompts, max_tokens=64) as batch:
        ...     for index, result in batch.as_completed():
        ...         print(index, result.text)
    """

    _INSTEAD = "take its results, which can be"

    def __init__(
        self, jobs: Iterable[Job[R]], delivery: Delivery, owner: object, n_total: int | None
    ) -> None:
        """Collect what `start` begins.

        Args:
            jobs: what is asked.
            delivery: of the engine.
            owner: kept alive while requests run.
            n_total: how many jobs there are; None: that is not known.
        """
        self._submission: Submission[R] = Submission(iter(jobs), delivery, owner, n_total)
        self._entries = self._submission.entries
        self._delivery = delivery
        # What the threads of a batch refer to is its submission, so that it can be dropped. The finalizer
        # must not hold that: the traceback of a failure leads from it back to the batch.
        weakref.finalize(self, _cancel, weakref.ref(self._submission)).atexit = False

    @property
    def n_done(self) -> int:
        """How many are over. With `run_tools`, one counts also while its calls wait to be run."""
        return self._entries.n_done

    @property
    def finished(self) -> bool:
        """Whether all are over, in the sense of `n_done`."""
        return self._entries.finished

    def start(self) -> Self:
        """Begin, if that has not happened; `Engine.submit_batch` has done it."""
        try:
            self._submission.start()
        except BaseException:  # KeyboardInterrupt above all: nobody would have the batch
            self.cancel()
            raise
        return self

    def cancel(self) -> None:
        """Cancel what is not over and read no further prompts; returns at once, idempotent."""
        self._submission.cancel()

    def partial(self) -> list[R | None]:
        """Return what there is by now, in order; never waits.

        What was cancelled is there with the text it had by then and finish reason "cancelled". None
        stands for what is still running, has not begun, or has failed.
        """
        return self._entries.partial()

    @overload
    def results(
        self, *, return_exceptions: Literal[False] = False, progress: bool | None = False
    ) -> Results[R]: ...
    @overload
    def results(
        self, *, return_exceptions: bool, progress: bool | None = False
    ) -> Results[R | BaseException]: ...
    def results(
        self, *, return_exceptions: bool = False, progress: bool | None = False
    ) -> Results[R] | Results[R | BaseException]:
        """Wait for all and return their results in order.

        Args:
            return_exceptions: put an error in the place of its result; else the first one cancels
                the others and is raised.
            progress: show a bar; None: where stderr is a terminal, or in a notebook, and more than one
                is asked.

        Raises:
            GenerationInterrupted: Ctrl-C, or the notebook's stop button; everything is cancelled.
            CancelledError: (of `concurrent.futures`) the batch was cancelled before all had begun.
            LlamadError: one has failed; its message says which.
            RuntimeError: called from an `on_token` callback, whose thread would wait for itself.
            BaseException: whatever iterating the prompts, or a tool's function, raised.
        """
        self._delivery.refuse_to_wait()
        try:
            with Progress(progress, self._entries.n_total, self._delivery.native.stats) as bar:
                self._submission.start()  # not before the bar has looked at what is counted already
                while not self._entries.all_over:
                    self._settle_or_wait(lambda: self._entries.failure is not None, bar.interval_s)
                    bar.show(len(self._entries.over))
                    self._entries.check(return_exceptions=return_exceptions)
            return self._entries.results(return_exceptions=return_exceptions)
        except KeyboardInterrupt:
            raise self._interrupted() from None
        except BaseException:
            self._stop()
            raise

    @overload
    def as_completed(self, *, return_exceptions: Literal[False] = False) -> Iterator[tuple[int, R]]: ...
    @overload
    def as_completed(self, *, return_exceptions: bool) -> Iterator[tuple[int, R | BaseException]]: ...
    def as_completed(self, *, return_exceptions: bool = False) -> Iterator[tuple[int, Any]]:
        """Yield index and result of each as it is over; raises as `results` does."""
        self._delivery.refuse_to_wait()
        for n_told in itertools.count():
            if not self._wait_until(partial(self._entries.more_over_than, n_told)):
                return
            entry = self._entries.over[n_told]
            yield entry.index, self._told(entry, return_exceptions=return_exceptions)

    def __iter__(self) -> Iterator[R]:
        """Yield the results in order, each as soon as all before it are over; raises as `results`."""
        self._delivery.refuse_to_wait()
        for index in itertools.count():
            if not self._wait_until(partial(self._entries.is_over, index)):
                return
            yield self._told(self._entries.all[index], return_exceptions=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    def _wait_until(self, condition: Callable[[], bool]) -> bool:
        """Wait until a condition holds; False where all is over before."""
        try:
            while not condition():
                if self._entries.all_over:
                    self._entries.check(return_exceptions=True)
                    return condition()
                self._settle_or_wait(condition)
        except KeyboardInterrupt:
            raise self._interrupted() from None
        except BaseException:
            self._stop()
            raise
        return True

    def _settle_or_wait(self, condition: Callable[[], bool], timeout: float | None = None) -> None:
        """Look at what has ended; where nothing has, wait for that, a condition, or others who look."""
        ended, over = self._submission.ended, self._entries.over
        try:
            entry = ended.popleft()
        except IndexError:
            n_over = len(over)
            self._submission.signal.wait_until(
                lambda: bool(ended) or len(over) > n_over or self._entries.all_over or condition(), timeout
            )
        else:
            self._settle(entry)

    def _settle(self, entry: Entry[R]) -> None:
        """Make a result of a round that has ended, and begin the next where there is one."""
        try:
            if entry.failure is None and (latest := entry.round) is not None:
                entry.done = latest.outcome()
                following = None if self._entries.cancelled else latest.job.follow_up(entry.done)
                if following is not None:
                    self._submission.follow(entry, following)
                    return
        except Exception as error:  # noqa: BLE001 - the entry's own, also what a tool's function raised
            entry.failure = error
        self._entries.close(entry)
        self._submission.signal.fire()

    def _told(self, entry: Entry[R], *, return_exceptions: bool) -> Any:
        try:
            return self._entries.told(entry, return_exceptions=return_exceptions)
        except BaseException:
            self._stop()
            raise

    def _interrupted(self) -> errors.GenerationInterrupted:
        self._stop()
        return errors.GenerationInterrupted(self.partial())

    def _stop(self) -> None:
        """Leave nothing running."""
        self.cancel()
        self._submission.wait_until_ended()
        for entry in self._entries.all:
            if not entry.over:  # also one that was being looked at when Ctrl-C came
                self._settle(entry)


def _cancel(dropped: weakref.ref[Submission[R]]) -> None:
    """Cancel what a dropped batch has left running, which keeps its submission alive."""
    if (submission := dropped()) is not None:
        submission.cancel()


def size_of(items: object) -> int | None:
    """Return how many there are, of what knows."""
    return len(items) if isinstance(items, Sized) else None
