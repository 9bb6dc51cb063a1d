"""`Generation`: a request that runs in the background of a blocking `Engine`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .results import Delta, NativeLogprobs, Result, result_from_finish, token_logprobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._engine import Finish


def refuse_to_wait_on(draining: threading.Thread) -> None:
    """Raise a `RuntimeError` if this is the draining thread: what it waited for would never come."""
    if threading.current_thread() is draining:
        raise RuntimeError(
            "an on_token callback cannot wait for a generation: it runs on the thread that delivers them; "
            "submit from there, and wait on another thread"
        )


class Generation:
    """One accepted request of an `Engine`; usable from any thread.

    An `on_token` callback must not wait for a generation that is not over: that raises `RuntimeError`.

    Attributes:
        request_id: the engine's id of the request.
    """

    def __init__(
        self,
        request_id: int,
        cancel: Callable[[int], None],
        draining: threading.Thread,
        on_token: Callable[[Delta], object] | None = None,
    ) -> None:
        self.request_id = request_id
        self._cancel = cancel
        self._draining = draining
        self._on_token = on_token
        self._changed = threading.Condition()
        self._deltas: list[Delta] = []
        self._has_logprobs = False
        self._finish: Finish | None = None
        self._callback_error: BaseException | None = None

    def cancel(self) -> None:
        """Ask the engine to stop at the next step; idempotent, and harmless after the end."""
        if self._finish is None:
            self._cancel(self.request_id)

    @property
    def finished(self) -> bool:
        """Whether the generation is over."""
        return self._finish is not None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; return whether it has come."""
        return self._wait_until(lambda: self._finish is not None, timeout)

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the end and return the whole generation.

        Args:
            timeout: seconds to wait; None waits as long as it takes.

        Raises:
            TimeoutError: it has not finished in time; it goes on.
            EngineClosedError, RequestTimeoutError, GenerationError: it ended with an error.
            BaseException: whatever the `on_token` callback raised; the request was cancelled then.
        """
        self.wait(timeout)
        if self._finish is None:
            raise TimeoutError(f"the generation has not finished within {timeout} s")
        if self._callback_error is not None:
            raise self._callback_error
        text = "".join(delta.text for delta in self._deltas)
        token_ids = [token for delta in self._deltas for token in delta.token_ids]
        logprobs = [token for delta in self._deltas for token in delta.logprobs or ()]
        return result_from_finish(text, token_ids, logprobs if self._has_logprobs else None, self._finish)

    def __iter__(self) -> Iterator[Delta]:
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

    def _deltas_after(self, n_seen: int) -> list[Delta]:
        """Wait for deltas beyond the first `n_seen`; none come once the generation is over."""
        self._wait_until(lambda: len(self._deltas) > n_seen or self._finish is not None)
        return self._deltas[n_seen:]

    def _wait_until(self, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        with self._changed:
            if not condition():
                refuse_to_wait_on(self._draining)
            return self._changed.wait_for(condition, timeout)

    def push(
        self, text: str, token_ids: list[int], logprobs: NativeLogprobs | None, finish: Finish | None
    ) -> None:
        """Take one drained event; called on the draining thread."""
        named = None if logprobs is None else tuple(token_logprobs(logprobs))
        self._has_logprobs |= named is not None
        delta = Delta(text, token_ids, named) if text or token_ids else None
        if delta is not None and self._on_token is not None and self._callback_error is None:
            try:
                self._on_token(delta)
            except BaseException as error:  # noqa: BLE001 - even SystemExit must not end everybody's thread
                self._callback_error = error
                self.cancel()
        with self._changed:
            if delta is not None:
                self._deltas.append(delta)
            if finish is not None:
                self._finish = finish
            self._changed.notify_all()
