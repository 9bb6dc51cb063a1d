"""`Delivery`: the thread that carries a native engine's events to the `Generation`s of an `Engine`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .generation import Generation, refuse_to_wait_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import _engine
    from .results import Delta

_ROOM_POLL_S = 0.1
"""How often a full queue is tried again; normally the end of a request wakes the waiter first."""


class Delivery:
    """Submits requests and drains their events on a thread of its own.

    Every method may be called from any thread. The thread keeps this object alive until it is
    stopped, so nothing here may refer to the `Engine` for longer than a request runs: the `Engine`
    stops its delivery when it is dropped.
    """

    def __init__(self, native: _engine.Engine) -> None:
        self._native = native
        self._requests: dict[int, tuple[Generation, object]] = {}
        self._lock = threading.Lock()  # submission and registration are one step to the draining thread
        self._some_finished = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._drain_until_stopped, name="llamad-drain", daemon=True)
        self._thread.start()

    def submit(
        self,
        prepared: _engine.Prepared,
        owner: object,
        on_token: Callable[[Delta], object] | None = None,
    ) -> list[Generation]:
        """Hand a prepared request to the engine.

        Args:
            prepared: what to generate.
            owner: kept alive until the request is over.
            on_token: called with each `Delta` on the draining thread.

        Returns:
            A generation for each of its choices.

        Raises:
            QueueFullError: the bounded queue has no room for all of them now.
            ParameterError: it never has.
            EngineClosedError: the engine is closed.
        """
        with self._lock:
            generations = [
                Generation(request_id, self._native.cancel, self._thread, on_token)
                for request_id in self._native.submit(prepared)
            ]
            for generation in generations:
                self._requests[generation.request_id] = (generation, owner)
        return generations

    def wait_for_room(self) -> None:
        """Wait until some request has finished, or for a moment."""
        with self._some_finished:
            self._some_finished.wait(_ROOM_POLL_S)

    def refuse_own_thread(self) -> None:
        """Raise a `RuntimeError` on the draining thread, which cannot wait for what it delivers itself."""
        refuse_to_wait_on(self._thread)

    def stop(self) -> None:
        """End every request, free the model and let the thread end; idempotent.

        Does not wait for the thread: garbage collection calls this anywhere, even on that thread.
        """
        self._native.close()
        self._stopped = True
        self._native.wake()

    def close(self) -> None:
        """Stop, and wait until everything is delivered; idempotent."""
        self.stop()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _drain_until_stopped(self) -> None:
        while not self._stopped:
            self._native.wait(60.0)
            self._drain()
        self._drain()

    def _drain(self) -> None:
        for request_id, text, token_ids, logprobs, finish in self._native.drain():
            with self._lock:
                # Not the pair itself: its owner must not be kept alive by this frame.
                generation = self._requests[request_id][0] if request_id in self._requests else None
            if generation is None:
                # Ctrl-C came between its acceptance and the note above: nobody waits for it.
                self._native.cancel(request_id)
                continue
            generation.push(text, token_ids, logprobs, finish)
            if finish is not None:
                self._forget(request_id)

    def _forget(self, request_id: int) -> None:
        with self._lock:
            # Bound to a name: the last reference to an `Engine` must not go while the lock is held.
            finished = self._requests.pop(request_id)
        with self._some_finished:
            self._some_finished.notify_all()
        del finished
