"""What the model manager has done and holds, as plain numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class Counters:
    """What has happened since the start, by model id.

    Attributes:
        loads: loads that succeeded.
        load_failures: loads that did not.
        load_seconds: how long the loads that succeeded took, together.
        evictions: unloads that made room for another model.
        unloads: all others.
    """

    loads: Counter[str] = field(default_factory=Counter)
    load_failures: Counter[str] = field(default_factory=Counter)
    load_seconds: dict[str, float] = field(default_factory=dict)
    evictions: Counter[str] = field(default_factory=Counter)
    unloads: Counter[str] = field(default_factory=Counter)

    def loaded(self, model_id: str, seconds: float) -> None:
        """Count a load that took so long."""
        self.loads[model_id] += 1
        self.load_seconds[model_id] = self.load_seconds.get(model_id, 0.0) + seconds


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """Counters, and how things stand.

    Attributes:
        counters: what has happened since the start.
        waiting: how many requests wait for a model to be there, by model id.
        memory_budget: bytes that the loaded models may take, by pool: "host" or "total", and each GPU.
        memory_used: bytes that they take, by pool.
        memory_by_model: bytes that each takes, of all pools together, by model id.
    """

    counters: Counters
    waiting: Mapping[str, int]
    memory_budget: Mapping[str, int]
    memory_used: Mapping[str, int]
    memory_by_model: Mapping[str, int]
