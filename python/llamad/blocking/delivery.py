"""`Delivery`: the thread that carries a native engine's events to the requests of an `Engine`."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from .. import errors
from ..lifetime import Process
from .thread_signal import ThreadSignal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .. import _engine
    from ..accepted import Accepted

A = TypeVar("A", bound="Accepted")

_ROOM_POLL_S = 0.1
"""How often a full queue is tried again; normally the end of a request wakes the waiter first."""


class Delivery:
    """Submits requests and drains their events on a thread of its own.

    Every method may be called from any thread. The thread keeps this object alive until it is
    stopped, so nothing here may refer to the `Engine` for longer than a request runs: the `Engine`
    stops its delivery when it is dropped.

    Attributes:
        native: the engine whose events these are.
        process: where its threads are.
    """

    def __init__(self, native: _engine.Engine) -> None:
        self.native = native
        self._requests: dict[int, tuple[Accepted, object]] = {}
        self._lock = threading.Lock()  # submission and registration are one step to the draining thread
        self._some_finished = ThreadSignal()
        self._n_finished = 0
        self.process = Process()
        self._at_work: set[int] = set()
        self._idle = ThreadSignal()
        self._closing = False
        self._stopped = False
        self._thread = threading.Thread(target=self._drain_until_stopped, name="llamad-drain", daemon=True)
        self._thread.start()

    def submit(
        self, prepared: _engine.Prepared, owner: object, make: Callable[[int, Callable[[int], None]], A]
    ) -> A:
        """Hand a prepared request to the engine.

        Args:
            prepared: what to generate, once.
            owner: kept alive until the request is over.
            make: called with the request's id and what cancels it; returns what takes its events.

        Raises:
            QueueFullError: the bounded queue has no room now.
            EngineClosedError: the engine is closed, or was loaded in another process.
        """
        self.process.require()
        with self._lock:
            (request_id,) = self.native.submit(prepared)
            accepted = make(request_id, self.cancel)
            self._requests[request_id] = (accepted, owner)
        return accepted

    def cancel(self, request_id: int) -> None:
        """Ask the engine to stop a request at the next step; in another process there is nothing to stop."""
        if self.process.is_this:
            self.native.cancel(request_id)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While a background thread calls the native engine without the GIL: `close()` waits for its end.

        When the interpreter ends, such a thread is ended where it next asks for the GIL: inside a C++
        destructor that aborts the process.

        Raises:
            EngineClosedError: the engine is closed.
        """
        me = threading.get_ident()
        self._at_work.add(me)
        try:
            if self._closing:
                raise errors.EngineClosedError("the engine is closed")
            yield
        finally:
            self._at_work.discard(me)
            self._idle.fire()

    def wait_for_room(self) -> None:
        """Wait until some request has finished, or for a moment."""
        n_finished = self._n_finished
        self._some_finished.wait_until(lambda: self._n_finished != n_finished, _ROOM_POLL_S)

    def refuse_to_wait(self) -> None:
        """Raise where what is waited for would never come: on the draining thread, and in a forked process.

        Raises:
            RuntimeError: this is the thread that delivers.
            EngineClosedError: the thread that delivers is in another process.
        """
        self.process.require()
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "an on_token callback cannot wait for a generation: it runs on the thread that delivers "
                "them; submit from there, and wait on another thread"
            )

    def stop(self) -> None:
        """End every request, free the model and let the thread end; idempotent.

        Does not wait for the thread: garbage collection calls this anywhere, even on that thread.
        """
        if not self.process.is_this:  # nothing of it is here to be ended
            return
        self._closing = True
        self.native.close()
        self._stopped = True
        self.native.wake()

    def close(self) -> None:
        """Stop, and wait until everything is delivered; idempotent."""
        self.stop()
        if self.process.is_this and threading.current_thread() is not self._thread:
            self._thread.join()
            self._idle.wait_until(lambda: not self._at_work)

    def _drain_until_stopped(self) -> None:
        while not self._stopped:
            self.native.wait(60.0)
            self._drain()
        self._drain()

    def _drain(self) -> None:
        for request_id, text, token_ids, logprobs, finish in self.native.drain():
            accepted = self._accepted(request_id)
            if accepted is None:
                # Ctrl-C came between its acceptance and the note of it: nobody waits for it.
                self.native.cancel(request_id)
                continue
            accepted.push(text, token_ids, logprobs, finish)
            if finish is not None:
                self._forget(request_id)

    def _accepted(self, request_id: int) -> Accepted | None:
        # Not the pair itself: its owner must not be kept alive by the caller's frame.
        if request_id in self._requests:
            return self._requests[request_id][0]
        with self._lock:  # it has been accepted, and is being noted
            return self._requests[request_id][0] if request_id in self._requests else None

    def _forget(self, request_id: int) -> None:
        with self._lock:
            # Bound to a name: the last reference to an `Engine` must not go while the lock is held.
            finished = self._requests.pop(request_id)
        self._n_finished += 1
        self._some_finished.fire()
        del finished
