"""`Instance`: a model that holds memory, from the start of its loading to the end of its unloading."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from .memory import layers_by_device
from .residency import Resident

if TYPE_CHECKING:
    import asyncio

    from .catalogue import Definition
    from .loader import AnyEngine, Loader
    from .metadata import ModelKind, ModelMetadata
    from .needs import Need
    from .residency import Cost, ResidentState

_logger = logging.getLogger(__name__)

_LOG_EVERY_S = 5.0


class Instance:
    """One engine, or what is to become one.

    Args:
        need: what is known of the model.
        cost: bytes that it takes of each pool.

    Attributes:
        definition: what it is loaded by; of what needs no other engine, the newest.
        kind: what the model is made for.
        metadata: what its file said; None where that could not be read.
        placement: where its layers lie.
        cost: bytes that it takes of each pool.
        state: where it stands.
        engine: what computes, once it is loaded.
        leases: how many requests use it.
        loaded_at: when it was loaded, by the keeper's clock.
        idle_since: when the last lease was given back, by the same.
        load_s: how long loading took.
        stale_since: since when its file or its settings are others; None: they are not.
        kept: whether it stays until all models to preload are there.
        progress: how much is loaded, from 0 to 1.
        task: loads or unloads it.
    """

    def __init__(self, need: Need, cost: Cost) -> None:
        self.definition: Definition = need.definition
        self.kind: ModelKind = need.kind
        self.metadata: ModelMetadata | None = need.metadata
        self.placement = need.estimate.placement
        self.cost = cost
        self.state: ResidentState = "loading"
        self.engine: AnyEngine | None = None
        self.leases = 0
        self.loaded_at = 0.0
        self.idle_since = 0.0
        self.load_s = 0.0
        self.stale_since: float | None = None
        self.kept = False
        self.progress = 0.0
        self.task: asyncio.Task[None] | None = None
        self._logged_at = time.monotonic()

    def snapshot(self) -> Resident:
        """Return what decisions are made on."""
        keep_alive_s = self.definition.settings.keep_alive
        return Resident(
            id=self.definition.id,
            cost=self.cost,
            state=self.state,
            busy=self.leases > 0,
            pinned=self.kept or self.definition.table.pinned,
            loaded_at=self.loaded_at,
            idle_since=self.idle_since,
            load_s=self.load_s,
            keep_alive_s=math.inf if keep_alive_s < 0 else keep_alive_s,
            stale_since=self.stale_since,
        )

    async def load(self, loader: Loader, cache_mib: int) -> None:
        """Make its engine; raises as the loader does."""
        self.engine = await loader.load(
            self.definition, self.kind, cache_mib, self.placement, self._note_progress
        )
        if self.state == "loading":  # else it was given up, and had come too far
            self.state = "loaded"

    async def close(self) -> None:
        """Close its engine, if it has one."""
        if self.engine is not None:
            await self.engine.close()
            self.engine = None

    @property
    def where(self) -> str:
        """On which devices its layers lie, for the log; nothing where that is the processor alone."""
        memory = [] if self.engine is None else layers_by_device(self.engine.info.memory)
        if all(one["name"] == "CPU" for one in memory):
            return ""
        return " on " + ", ".join(
            f"{one['name']} ({one['layers']} layers, {one['bytes'] / 2**30:.2f} GiB)" for one in memory
        )

    def _note_progress(self, fraction: float) -> None:
        """Note how much is loaded, and log it now and then; called on the loading thread."""
        self.progress = fraction
        now = time.monotonic()
        if now - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = now
            _logger.info("loading %s: %d %%", self.definition.id, 100 * fraction)
