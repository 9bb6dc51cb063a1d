"""`Batch`: many requests of one blocking call, submitted and cancelled as one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from . import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from . import _engine
    from .delivery import Delivery
    from .generation import Generation
    from .results import Result


class Batch:
    """Submits requests on a thread of its own, and waits for their results.

    Python raises `KeyboardInterrupt` on the main thread between any two instructions: also between the
    engine's acceptance of a request and the moment when anybody knows its id. A request lost that way
    would run on for nobody. On a thread that gets no signals nothing comes in between.
    """

    def __init__(self, delivery: Delivery, requests: Iterable[_engine.Prepared], owner: object) -> None:
        self._delivery = delivery
        self._requests = requests
        self._owner = owner
        self._generations: list[Generation] = []
        self._error: BaseException | None = None
        self._cancelled = False
        self._thread = threading.Thread(target=self._submit_all, name="llamad-submit", daemon=True)

    def run(self) -> list[Result]:
        """Return the results of all choices in order; whatever goes wrong, nothing is left running.

        They are waited for in order, so a failure is noticed, and what comes after it cancelled, once all
        before it are over.
        """
        try:
            self._thread.start()
            self._thread.join()
            if self._error is not None:
                raise self._error  # noqa: TRY301 - like every other failure, it cancels the rest
            return [generation.result() for generation in self._generations]
        except BaseException:  # KeyboardInterrupt above all
            self._cancel()
            raise

    def _submit_all(self) -> None:
        try:
            for prepared in self._requests:
                self._submit(prepared)
                if self._cancelled:  # the rest need not even be tokenized
                    return
        except BaseException as error:  # noqa: BLE001 - run() raises it on the caller's thread
            self._error = error

    def _submit(self, prepared: _engine.Prepared) -> None:
        while not self._cancelled:
            try:
                self._generations += self._delivery.submit(prepared, self._owner)
            except errors.QueueFullError:
                self._delivery.wait_for_room()
            else:
                return

    def _cancel(self) -> None:
        self._cancelled = True
        if self._thread.ident is not None:
            self._thread.join()
        for generation in self._generations:
            generation.cancel()
        for generation in self._generations:
            generation.wait()
