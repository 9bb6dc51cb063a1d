"""`Submission`: the jobs of a batch on their way into a blocking engine."""

from __future__ import annotations

import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from .. import errors
from ..accepted import Accepted, named
from ..entries import AHEAD, Entries, Entry, Round, not_begun
from ..results import NativeLogprobs, Result
from .thread_signal import ThreadSignal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .. import _engine
    from .._engine import Finish
    from ..jobs import Job
    from .delivery import Delivery

R = TypeVar("R", bound=Result)


class Answer(Accepted):
    """A request that nobody streams: all of it comes with its end."""

    def __init__(self, request_id: int, cancel: Callable[[int], None], on_end: Callable[[], None]) -> None:
        super().__init__(request_id, cancel)
        self._on_end: Callable[[], None] | None = on_end

    def push(
        self, text: str, token_ids: list[int], logprobs: NativeLogprobs | None, finish: Finish | None
    ) -> None:
        """Take what was generated; called on the draining thread."""
        self._collect(text, token_ids, named(logprobs))
        if finish is not None and (on_end := self._on_end) is not None:
            self._finish = finish
            self._on_end = None  # it refers to the entry, which refers to this
            on_end()


class Submission(Generic[R]):
    """Prepares and submits the jobs of a batch as the engine has room, on a thread of its own.

    Python raises `KeyboardInterrupt` on the main thread between any two instructions: also between the
    engine's acceptance of a request and the moment when anybody knows its id. A request lost that way
    would run on for nobody. On a thread that gets no signals nothing comes in between. What other threads
    do here is atomic without a lock, for `KeyboardInterrupt` can leave one locked.

    Attributes:
        entries: what has come of the jobs.
        ended: entries of which a round is over, or could not begin, and nobody has looked at it.
        signal: fires when any of this changes.
    """

    def __init__(
        self, jobs: Iterator[Job[R]], delivery: Delivery, owner: object, n_total: int | None
    ) -> None:
        self.entries: Entries[R] = Entries(n_total)
        self.ended: deque[Entry[R]] = deque()
        self.signal = ThreadSignal()
        self._jobs = jobs
        self._delivery = delivery
        self._owner = owner
        self._places: SimpleQueue[None] = SimpleQueue()
        self._started = False

    def start(self) -> None:
        """Begin; idempotent."""
        self._delivery.process.require()
        if self._started:
            return
        self._started = True
        for _ in range(self._delivery.native.info.n_parallel + AHEAD):
            self._places.put(None)
        threading.Thread(target=self._submit_all, name="llamad-submit", daemon=True).start()

    def cancel(self) -> None:
        """Submit no more, and ask the engine to stop what runs; idempotent, also for finalizers."""
        self.entries.cancel()
        self._places.put(None)
        self.signal.fire()

    def wait_until_ended(self) -> None:
        """Wait until nothing runs any more; soon the case after `cancel()`."""
        self.signal.wait_until(lambda: all(entry.ended for entry in self.entries.all))

    def follow(self, entry: Entry[R], job: Job[R]) -> None:
        """Submit the next round of an entry."""
        # On a thread of its own: the other one may be waiting for the caller's next prompt.
        threading.Thread(
            target=self._submit_next, args=(entry, job), name="llamad-submit", daemon=True
        ).start()

    def _submit_next(self, entry: Entry[R], job: Job[R]) -> None:
        self._places.get()  # as for first rounds: else all conversations that go on would fill the queue
        self._submit(entry, job, lambda: self._places.put(None))

    def _submit_all(self) -> None:
        try:
            while (job := self._next_job()) is not None:
                entry = self.entries.add()
                self._submit(entry, job, lambda: self._places.put(None))
                if isinstance(entry.failure, errors.EngineClosedError):
                    raise entry.failure  # noqa: TRY301 - the same would come of all that follow
        except BaseException as error:  # noqa: BLE001 - whatever the caller's iterable raises, for the caller
            self.entries.failure = self.entries.failure or error
        finally:
            self.entries.exhausted = True
            self.signal.fire()

    def _next_job(self) -> Job[R] | None:
        self._places.get()
        job = None if self.entries.cancelled else next(self._jobs, None)
        return None if self.entries.cancelled else job

    def _submit(self, entry: Entry[R], job: Job[R], on_end: Callable[[], None]) -> None:
        """Prepare and submit a job; calls `on_end` when its request is over, or cannot begin."""

        def note_end() -> None:
            entry.ended = True
            self.ended.append(entry)
            on_end()
            self.signal.fire()

        entry.ended = False
        try:
            with self._delivery.at_work():
                prepared = job.prepare(self._delivery.native)
            if self._accepted(entry, job, prepared, note_end):
                return
            entry.failure = not_begun() if entry.done is None else None
        except BaseException as error:  # noqa: BLE001 - the entry's own; the thread goes on with the others
            entry.failure = error
        note_end()

    def _accepted(
        self, entry: Entry[R], job: Job[R], prepared: _engine.Prepared, on_end: Callable[[], None]
    ) -> bool:
        """Submit as soon as there is room; whether that came before a cancellation."""

        def make(request_id: int, cancel: Callable[[int], None]) -> Answer:
            answer = Answer(request_id, cancel, on_end)
            entry.round = Round(job, prepared, answer)
            return answer

        while not self.entries.cancelled:
            try:
                answer = self._delivery.submit(prepared, self._owner, make)
            except errors.QueueFullError:
                self._delivery.wait_for_room()
            else:
                self._check_late(answer)
                return True
        return False

    def _check_late(self, answer: Answer) -> None:
        if self.entries.cancelled:  # perhaps after `cancel()` had looked for what runs
            answer.cancel()
