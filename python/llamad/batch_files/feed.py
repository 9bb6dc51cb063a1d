"""`Feed`: an iterator whose items an event loop can wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from .aside import Aside

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Feed(Generic[T]):
    """Takes items on a thread of its own, one when one is asked for. Lives on one event loop.

    Args:
        items: used on that thread alone.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._aside = Aside("llamad-batch-read")

    async def next(self) -> T | None:
        """Return the next item; None at the end, and from then on.

        Raises:
            Exception: what the iterator has raised, to whoever asked for that item.
        """
        return await self._aside.call(lambda: next(self._items, None))
