"""A model manager without models: the test decides when a load ends, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llamad.errors import ModelBusyError, ParameterError, UnknownModelError
from llamad.models.entries import ModelEntry
from llamad.models.lease import Lease
from llamad.models.metadata import ModelMetadata
from llamad.models.statistics import Counters, ModelStatistics
from llamad.settings import Settings

from .fakes import FakeEngine

METADATA = ModelMetadata("llama", "tiny", 1000, "Q4_1", 4096, 16, "none", "generate", has_chat_template=True)


@dataclass
class FakeModels:
    """A model directory of which every model is loaded; `get_gate` holds up the load of the first."""

    served: dict[str, FakeEngine]
    get_gate: asyncio.Event | None = None
    get_error: Exception | None = None
    getting: asyncio.Event = field(default_factory=asyncio.Event)
    loads: int = 0
    unloads: int = 0
    sampling: dict[str, Any] = field(default_factory=dict)
    held: set[Lease[Any]] = field(default_factory=set)

    def entries(self) -> list[ModelEntry]:
        return [self._entry(name) for name in self.served]

    def _entry(self, name: str) -> ModelEntry:
        return ModelEntry(name, Path(f"{name}.gguf"), 1 << 20, 1700000000, "loaded", METADATA)

    async def read_entries(self) -> list[ModelEntry]:
        return self.entries()

    def engines(self) -> dict[str, Any]:
        return dict(self.served)

    def embedders(self) -> dict[str, Any]:
        return {}

    async def lease(self, model_id: str, kind: str) -> Lease[Any]:
        if kind != "generate":
            raise ParameterError(f"model {model_id!r} cannot {kind}: it generates text", param="model")
        self.loads += 1
        if model_id not in self.served:
            raise UnknownModelError(model_id, list(self.served))
        self.getting.set()
        if self.get_gate is not None:
            await self.get_gate.wait()
        if self.get_error is not None:
            raise self.get_error
        lease = Lease(model_id, self.served[model_id], self.sampling, lambda: self.held.discard(lease))
        self.held.add(lease)
        return lease

    async def load(self, model_id: str) -> ModelEntry:
        (await self.lease(model_id, "generate")).release()
        return self._entry(model_id)

    async def unload(self, model_id: str, *, force: bool = False) -> ModelEntry:
        if model_id not in self.served:
            raise UnknownModelError(model_id, list(self.served))
        if self.held and not force:
            raise ModelBusyError(f"1 request uses model {model_id!r}")
        self.unloads += 1
        return self._entry(model_id)

    async def preload(self, model_ids: Sequence[str]) -> None:
        for model_id in model_ids:
            (await self.lease(model_id, "generate")).release()

    async def reload(self, settings: Settings) -> None:
        pass

    def statistics(self) -> ModelStatistics:
        return ModelStatistics(Counters(), {}, {}, {}, {})

    async def close(self) -> None:
        for engine in self.served.values():
            await engine.close()
