"""`Ledger`: what each model's engines have counted since the server started, those that are gone included."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .metrics_tables import COUNTED

if TYPE_CHECKING:
    from collections.abc import Mapping

Histogram = tuple[tuple[float, ...], list[int], float]
"""Upper limits of the buckets, counts of each bucket alone and of what lies beyond, sum."""


class Counting(Protocol):
    """An engine or an embedder; closed ones still tell what they have counted."""

    @property
    def closed(self) -> bool: ...

    def stats(self) -> dict[str, Any]: ...


@dataclass
class Totals:
    """Sums over the engines that a model has had."""

    counters: Counter[str] = field(default_factory=Counter)
    histograms: dict[str, Histogram] = field(default_factory=dict)

    def add(self, stats: Mapping[str, Any]) -> None:
        """Add what one engine has counted."""
        self.counters.update({key: stats[key] for key in COUNTED if key in stats})
        for name, (bounds, counts, total) in stats["histograms"].items():
            _, before, sum_before = self.histograms.get(name, (bounds, [0] * len(counts), 0.0))
            both = [one + other for one, other in zip(before, counts, strict=True)]
            self.histograms[name] = (bounds, both, sum_before + total)

    def copy(self) -> Totals:
        """Return totals that can be added to without changing these."""
        return Totals(self.counters.copy(), dict(self.histograms))


class Ledger:
    """Follows the engines that come and go, so that no count is lost when a model is unloaded.

    An engine is asked a last time when it is closed: until then its requests are still ending.
    """

    def __init__(self) -> None:
        self._followed: list[tuple[str, Counting]] = []
        self._past: defaultdict[str, Totals] = defaultdict(Totals)

    def follow(self, loaded: Mapping[str, Counting]) -> None:
        """Take note of the engines that there are now; to be called now and then."""
        known = {id(engine) for _, engine in self._followed}
        self._followed += [
            (model, engine)
            for model, engine in loaded.items()
            if id(engine) not in known and not engine.closed
        ]
        for model, engine in self._followed:
            if engine.closed:
                self._past[model].add(engine.stats())
        self._followed = [(model, engine) for model, engine in self._followed if not engine.closed]

    def totals(self) -> dict[str, Totals]:
        """Return what has been counted, by model. Nothing in it is ever less than it was before."""
        totals = {model: past.copy() for model, past in self._past.items()}
        for model, engine in self._followed:
            totals.setdefault(model, Totals()).add(engine.stats())
        return totals
