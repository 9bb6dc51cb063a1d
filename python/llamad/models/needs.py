"""`Needs`: what models that are not loaded would take, found out before they are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .catalogue import Definition
    from .loader import Loader
    from .memory import Budget, Estimate
    from .metadata import Headers, ModelKind, ModelMetadata

_PER_FILE_BYTE = 1.25

AUTOMATIC = -1
"""A prefix cache whose size is what the budget leaves for it."""


@dataclass(frozen=True, slots=True)
class Need:
    """What is known of a model before it is loaded.

    Attributes:
        definition: the model.
        kind: what it is made for.
        metadata: what its file says; None where that cannot be read.
        estimate: what it will take, but for its prefix cache.
    """

    definition: Definition
    kind: ModelKind
    metadata: ModelMetadata | None
    estimate: Estimate

    @property
    def cache_mib(self) -> int:
        """Size of its prefix cache; `AUTOMATIC` where that is still to be decided."""
        return self.definition.settings.prefix_cache_mib if self.kind == "generate" else 0

    def cost(self, budget: Budget, cache_mib: int | None = None) -> dict[str, int]:
        """Return what it takes of each pool, with the least prefix cache that it may have or with this."""
        mib = max(0, self.cache_mib) if cache_mib is None else cache_mib
        return budget.cost(self.estimate.memory, mib << 20)


class Needs:
    """Estimates, each made once for a file and its settings.

    Args:
        loader: estimates.
        headers: says what files are.
        on_known: called with a model's id when its need is known.
        on_failure: called with a model's definition when it cannot be, and why.
    """

    def __init__(
        self,
        loader: Loader,
        headers: Headers,
        on_known: Callable[[str], None],
        on_failure: Callable[[Definition, Exception], None],
    ) -> None:
        self._loader = loader
        self._headers = headers
        self._on_known = on_known
        self._on_failure = on_failure
        self._known: dict[str, Need] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def known(self, definition: Definition) -> Need | None:
        """Return what a model needs, or needed when it was last asked for, if that is known."""
        need = self._known.get(definition.id)
        return need if need is not None and need.definition.loads_like(definition) else None

    def size(self, definition: Definition) -> int:
        """Return what a model takes in all, roughly: as estimated, else by the size of its files."""
        need = self.known(definition)
        if need is None:
            return int(_PER_FILE_BYTE * definition.spec.size_bytes)
        return sum(one["weights"] + one["context"] + one["compute"] for one in need.estimate.memory)

    def ask(self, definition: Definition, room: Mapping[str, int]) -> Need | None:
        """Return what a model needs where it has so much room; where that is not known begin to find out.

        Args:
            definition: the model.
            room: bytes of each GPU that it may take, as far as that is known.
        """
        need = self.known(definition)
        if need is not None and all(room.get(gpu, size) == size for gpu, size in need.estimate.room.items()):
            return need
        if definition.id not in self._asking:
            self._asking[definition.id] = asyncio.create_task(self._ask(definition, room))
        return None

    async def close(self) -> None:
        """Give up what is being found out."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, definition: Definition, room: Mapping[str, int]) -> None:
        try:
            metadata = await self._headers.read(definition.spec.path)
            kind = "generate" if metadata is None else metadata.kind
            estimate = await self._loader.estimate(definition, kind, room)
        except Exception as error:  # noqa: BLE001 - whatever it is, the waiters are told
            del self._asking[definition.id]
            self._on_failure(definition, error)
        except asyncio.CancelledError:
            del self._asking[definition.id]
            raise
        else:
            del self._asking[definition.id]
            self._known[definition.id] = Need(definition, kind, metadata, estimate)
            self._on_known(definition.id)
