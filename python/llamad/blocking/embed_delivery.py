"""`EmbedDelivery` and `EmbedCall`: how a blocking `Embedder` waits for its native engine."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from .. import errors
from ..lifetime import Process
from ..results import error_of
from .thread_signal import ThreadSignal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .. import _engine

_ROOM_POLL_S = 0.1
"""How often a full queue is tried again; normally the end of a request wakes the waiter first."""

_LISTEN_S = 0.5
"""Longest wait at a stretch: a signal that comes right before a wait begins does not end it."""


class EmbedDelivery:
    """Submits requests and drains their ends on a thread of its own.

    Every method may be called from any thread. The thread keeps this object alive until it is stopped, so
    nothing here refers to the `Embedder`, which stops its delivery when it is dropped.
    """

    def __init__(self, native: _engine.Embedder) -> None:
        self._native = native
        self._calls: dict[int, EmbedCall] = {}
        self._lock = threading.Lock()  # submission and registration are one step to the draining thread
        self._some_finished = ThreadSignal()
        self._n_finished = 0
        self._process = Process()
        self._submitting: set[threading.Thread] = set()
        self._stopped = False
        self._thread = threading.Thread(target=self._drain_until_stopped, name="llamad-drain", daemon=True)
        self._thread.start()

    def submit_on_thread(self, target: Callable[[], None]) -> None:
        """Run `target`, which prepares and submits a request, on a thread that gets no signals."""

        def run() -> None:
            self._submitting.add(threading.current_thread())
            try:
                target()
            finally:
                self._submitting.discard(threading.current_thread())

        threading.Thread(target=run, name="llamad-submit", daemon=True).start()

    def require_this_process(self) -> None:
        """Raise an `EngineClosedError` in a process that was forked from the one that loaded the model."""
        self._process.require()

    def submit(self, prepared: _engine.PreparedEmbedding, call: EmbedCall) -> int:
        """Hand a prepared request to the engine and return its id; its end goes to `call`.

        Raises:
            QueueFullError: the bounded queue has no room.
            EngineClosedError: the engine is closed.
        """
        with self._lock:
            request_id = self._native.submit(prepared)
            self._calls[request_id] = call
        return request_id

    def cancel(self, request_id: int) -> None:
        """Ask the engine to stop with the next batch; harmless after the end."""
        self._native.cancel(request_id)

    def wait_for_room(self) -> None:
        """Wait until some request has finished, or for a moment."""
        n_finished = self._n_finished
        self._some_finished.wait_until(lambda: self._n_finished != n_finished, _ROOM_POLL_S)

    def stop(self) -> None:
        """End every request, free the model and let the thread end; idempotent.

        Does not wait for the thread: garbage collection calls this anywhere, even on that thread.
        """
        if not self._process.is_this:  # nothing of it is here to be ended
            return
        self._native.close()
        self._stopped = True
        self._native.wake()

    def close(self) -> None:
        """Stop, and wait until everything is delivered; idempotent.

        Also for threads that still prepare what nobody waits for any more: one that is in native code when
        the interpreter ends takes the process down with it.
        """
        self.stop()
        if not self._process.is_this:
            return
        for thread in {self._thread, *self._submitting} - {threading.current_thread()}:
            thread.join()

    def _drain_until_stopped(self) -> None:
        while not self._stopped:
            self._native.wait(60.0)
            self._drain()
        self._drain()

    def _drain(self) -> None:
        for end in self._native.drain():
            with self._lock:
                call = self._calls.pop(end.request_id)
            call.finish(end)
            self._n_finished += 1
            self._some_finished.fire()


class EmbedCall:
    """One blocking call: prepared and submitted on a thread of its own, waited for by the caller.

    Python raises `KeyboardInterrupt` on the main thread between any two instructions: also between the
    engine's acceptance of a request and the moment when anybody knows its id. On a thread that gets no
    signals nothing comes in between; and Ctrl-C need not wait until thousands of texts are tokenized.
    """

    def __init__(self, delivery: EmbedDelivery, prepare: Callable[[], _engine.PreparedEmbedding]) -> None:
        self._delivery = delivery
        self._prepare = prepare
        self._ended = ThreadSignal()
        self._request_id: int | None = None
        self._cancelled = False
        self._prepared: _engine.PreparedEmbedding | None = None
        self._outcome: memoryview[float] | BaseException | None = None

    def run(
        self, every_s: float | None, look: Callable[[int], object]
    ) -> tuple[memoryview[float], tuple[int, ...]]:
        """Return what was computed, and the tokens of each input; if that fails, nothing is left running.

        Args:
            every_s: how often `look` is called while this waits; None where it need not be.
            look: called with the number of inputs that are computed.

        Raises:
            EngineClosedError: the model was loaded in another process.
        """
        self._delivery.require_this_process()
        try:
            self._delivery.submit_on_thread(self._submit)
            while not self._ended.wait_until(lambda: self._outcome is not None, every_s or _LISTEN_S):
                look(0 if self._prepared is None else self._prepared.n_done)
        except BaseException:  # KeyboardInterrupt above all
            self._cancel()
            raise
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        prepared = cast("_engine.PreparedEmbedding", self._prepared)
        return cast("memoryview[float]", self._outcome), tuple(prepared.n_tokens)

    def finish(self, end: _engine.EmbedEnd) -> None:
        """Take the end of the request; called on the draining thread."""
        failed = end.finish_reason == "error"
        self._end(error_of(end.error_kind, end.error_message) if failed else end.values)

    def _submit(self) -> None:
        try:
            self._prepared = self._prepare()
            self._submit_when_there_is_room(self._prepared)
        except BaseException as error:  # noqa: BLE001 - run() raises it on the caller's thread
            self._end(error)

    def _submit_when_there_is_room(self, prepared: _engine.PreparedEmbedding) -> None:
        while not self._cancelled:
            try:
                self._request_id = self._delivery.submit(prepared, self)
            except errors.QueueFullError:
                self._delivery.wait_for_room()
            else:
                break
        # The caller sets the flag and then looks for the id, this the other way round: one sees the other.
        if self._cancelled:
            self._cancel()

    def _cancel(self) -> None:
        self._cancelled = True
        if self._request_id is not None:
            self._delivery.cancel(self._request_id)

    def _end(self, outcome: memoryview[float] | BaseException) -> None:
        self._outcome = outcome
        self._ended.fire()
