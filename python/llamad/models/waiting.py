"""`WaitingRoom`: requests that wait for a model to be there."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llamad.errors import QueueFullError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .lease import Lease


@dataclass(frozen=True, slots=True, eq=False)
class Waiter:
    """One request that waits.

    Attributes:
        model_id: the model that it waits for.
        since: when it came.
        outcome: its lease, or why it gets none.
    """

    model_id: str
    since: float
    outcome: asyncio.Future[Lease[Any]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class WaitingRoom:
    """Who waits for which model, in the order of arrival; lives on one event loop.

    Args:
        most: how many may wait for one model.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._waiting: defaultdict[str, dict[Waiter, None]] = defaultdict(dict)

    def enter(self, model_id: str, now: float) -> Waiter:
        """Begin to wait.

        Raises:
            QueueFullError: too many wait for this model already.
        """
        if self.count(model_id) >= self.most:
            message = f"{self.most} requests wait for model {model_id!r} to be loaded; try again later"
            raise QueueFullError(message)
        waiter = Waiter(model_id, now)
        self._waiting[model_id][waiter] = None
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Give a place up; idempotent."""
        waiting = self._waiting.get(waiter.model_id, {})
        waiting.pop(waiter, None)
        if not waiting:
            self._waiting.pop(waiter.model_id, None)

    def model_ids(self) -> list[str]:
        """Return the models that are waited for."""
        return list(self._waiting)

    def count(self, model_id: str) -> int:
        """Return how many wait for a model."""
        return len(self._waiting.get(model_id, ()))

    def oldest(self, model_id: str) -> float:
        """Return since when a model that is waited for is."""
        return next(iter(self._waiting[model_id])).since

    def admit(self, model_id: str, grant: Callable[[], Lease[Any]]) -> None:
        """Give a lease to everybody who waits for a model."""
        for waiter in self._waiting.pop(model_id, {}):
            if not waiter.outcome.done():  # else it has just given up
                waiter.outcome.set_result(grant())

    def fail(self, model_id: str, error: Exception) -> None:
        """Tell everybody who waits for a model why they get none."""
        for waiter in self._waiting.pop(model_id, {}):
            if not waiter.outcome.done():
                waiter.outcome.set_exception(error)
