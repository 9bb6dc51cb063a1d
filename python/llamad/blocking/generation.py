"""`Generation`: a request that runs in the background of a blocking `Engine`."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ..accepted import Accepted, named
from ..lifetime import Uncopyable
from ..results import Delta, NativeLogprobs, Result, TokenLogprobs
from .thread_signal import ThreadSignal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .._engine import Finish

R = TypeVar("R", bound=Result)
D = TypeVar("D", bound=Delta)


class Generation(Accepted, Generic[D, R]):
    """One accepted request of an `Engine`; usable from any thread.

    Its deltas and its result are `Delta` and `Result`, or `ChatDelta` and `ChatResult` where it answers a
    conversation. An `on_token` callback must not wait for a generation that is not over: that raises
    `RuntimeError`.

    Attributes:
        request_id: the engine's id of the request.
    """

    def __init__(
        self,
        request_id: int,
        cancel: Callable[[int], None],
        *,
        make_delta: Callable[[str, list[int], tuple[TokenLogprobs, ...] | None, bool], Any],
        complete: Callable[[Result], R],
        refuse_to_wait: Callable[[], None],
        on_token: Callable[[D], object] | None = None,
    ) -> None:
        super().__init__(request_id, cancel)
        self._make_delta = make_delta
        self._complete = complete
        self._refuse_to_wait = refuse_to_wait
        self._on_token = on_token
        self._changed = ThreadSignal()
        self._deltas: list[D] = []
        self._result: R | None = None
        self._failure: BaseException | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; return whether it has come."""
        return self._wait_until(lambda: self._finish is not None, timeout)

    def result(self, timeout: float | None = None) -> R:
        """Wait for the end and return the whole generation.

        Args:
            timeout: seconds to wait; None waits as long as it takes.

        Raises:
            TimeoutError: it has not finished in time; it goes on.
            EngineClosedError, RequestTimeoutError, GenerationError: it ended with an error.
            OutputError: its text fits the schema, but not the class that is to hold it.
            BaseException: whatever the `on_token` callback raised; the request was cancelled then.
        """
        self.wait(timeout)
        if self._finish is None:
            raise TimeoutError(f"the generation has not finished within {timeout} s")
        if self._failure is not None:
            raise self._failure
        if self._result is None:
            self._result = self._complete(self.whole())
        return self._result

    def __iter__(self) -> Generator[D, None, None]:
        """Yield the deltas as they come; leaving the loop early cancels the request.

        Raises:
            EngineClosedError, RequestTimeoutError, GenerationError: the request ended with an error.
        """
        n_seen = 0
        try:
            while fresh := self._deltas_after(n_seen):
                n_seen += len(fresh)
                yield from fresh
            self.result()  # raises what went wrong
        finally:
            self.cancel()

    def _deltas_after(self, n_seen: int) -> list[D]:
        """Wait for deltas beyond the first `n_seen`; none come once the generation is over."""
        self._wait_until(lambda: len(self._deltas) > n_seen or self._finish is not None)
        return self._deltas[n_seen:]

    def _wait_until(self, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        if condition():
            return True
        self._refuse_to_wait()
        return self._changed.wait_until(condition, timeout)

    def push(
        self, text: str, token_ids: list[int], logprobs: NativeLogprobs | None, finish: Finish | None
    ) -> None:
        """Take one drained event; called on the draining thread."""
        try:
            self._read(text, token_ids, logprobs, final=finish is not None)
        except BaseException as error:  # noqa: BLE001 - even SystemExit must not end everybody's thread
            self._failure = self._failure or error
            self.cancel()
        if finish is not None:
            self._finish = finish
        self._changed.fire()

    def _read(self, text: str, token_ids: list[int], logprobs: NativeLogprobs | None, *, final: bool) -> None:
        names = named(logprobs)
        self._collect(text, token_ids, names)
        delta: D | None = self._make_delta(text, token_ids, None if names is None else tuple(names), final)
        if delta is not None:
            self._tell(delta)

    def _tell(self, delta: D) -> None:
        self._deltas.append(delta)
        if self._on_token is not None and self._failure is None:
            self._on_token(delta)


class Deltas(Uncopyable, Generic[D]):
    """The deltas of a generation that nobody else can read: dropping this cancels the request.

    A generator alone does not see to that: one that was never asked for anything ends without a trace.
    """

    _INSTEAD = "take its deltas, which can be"

    def __init__(self, generation: Generation[D, Any]) -> None:
        self._deltas = iter(generation)
        self._cancel = weakref.finalize(self, generation.cancel)
        self._cancel.atexit = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> D:
        """Wait for the next delta; raises as iterating a `Generation` does."""
        return next(self._deltas)

    def close(self) -> None:
        """Do what dropping this does, as `close` of a generator would; there are no more deltas."""
        self._cancel()
        self._deltas.close()
