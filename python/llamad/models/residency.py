"""Who may hold memory: decisions only, carried out by the `ModelManager`.

A model that somebody waits for is *wanted*, one that holds memory is a *resident*. Memory comes in pools
(the machine's, each GPU's), and no pool ever holds more than its capacity.

`Policy.plan` decides, the wanted in the order of their oldest waiter:

1. A resident that is idle and whose file has changed, or whose keep-alive has passed, is unloaded. One
   whose file has changed and that is busy gets no new requests once a turn has passed.
2. A wanted model that does not fit beside the pinned ones is refused.
3. One that fits into what is free is loaded.
4. One that fits once models that are being unloaded are gone waits for them.
5. One that fits if idle residents go makes them go, the least recently used first; no more than
   needed. A resident that has turned idle just now is spared for a moment, since most clients send their
   next request at once.
6. Once it has waited for a turn, residents that have been loaded for a turn must make room though they
   are busy: they get no new requests, end those they have, and go. What they are asked meanwhile waits,
   and so makes them wanted.
7. From then on, younger waiters get only what it leaves.

A turn is as long as the two loads that changing places costs, and not shorter than `min_turn_s`, so at
most half of the time goes into loading. By (6) and (7) everybody's turn comes: nobody starves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Cost = Mapping[str, int]
"""Bytes by pool."""

ResidentState = Literal["loading", "loaded", "unloading"]
Reason = Literal["room", "idle", "changed"]
"""Why a model is unloaded: for another one, because nobody has asked for it, to load what is there now."""

_MOST_SPARED_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """A model that holds memory. Times are of one monotonic clock, in seconds.

    Attributes:
        id: its name.
        cost: what it holds, or will once it is loaded.
        state: whether it is there, or on its way in or out.
        busy: whether requests use it.
        pinned: whether it stays, come what may.
        loaded_at: since when it is there.
        idle_since: when the last request left it; when it was loaded, before the first.
        load_s: how long it took to load.
        keep_alive_s: how long it stays without requests; `inf` is for ever.
        stale_since: since when it is not what the catalogue says; None: it is.
    """

    id: str
    cost: Cost
    state: ResidentState
    busy: bool = False
    pinned: bool = False
    loaded_at: float = 0.0
    idle_since: float = 0.0
    load_s: float = 0.0
    keep_alive_s: float = math.inf
    stale_since: float | None = None

    @property
    def movable(self) -> bool:
        """Whether it can be made to go."""
        return self.state == "loaded" and not self.pinned

    @property
    def spared_until(self) -> float:
        """How long it is kept for the next request of the client that it has just served.

        A quarter of the time that loading it again would take, so that sparing costs little where it was
        in vain.
        """
        return self.idle_since + min(_MOST_SPARED_S, self.load_s / 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A model that is waited for and holds no memory.

    Attributes:
        id: its name.
        cost: what it needs.
        since: when its oldest waiter came.
        load_s: how long it took to load the last time; 0 where that is not known.
    """

    id: str
    cost: Cost
    since: float
    load_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done now.

    Attributes:
        load: models to load, all of which fit together.
        unload: idle residents to unload, and why.
        refused: wanted models that never fit -> what the pinned ones leave to them.
        draining: residents that get no new requests.
        wake_at: when to decide again if nothing happens before; None: not by itself.
        left: what will be free once all this is done, less what is promised to those who wait.
    """

    load: tuple[str, ...]
    unload: Mapping[str, Reason]
    refused: Mapping[str, Cost]
    draining: frozenset[str]
    wake_at: float | None
    left: Cost


def total(costs: Iterable[Cost]) -> dict[str, int]:
    """Add costs up, by pool."""
    sums: dict[str, int] = {}
    for cost in costs:
        for pool, size in cost.items():
            sums[pool] = sums.get(pool, 0) + size
    return sums


def less(available: Cost, *costs: Cost) -> dict[str, int]:
    """Return what costs leave of what is available."""
    taken = total(costs)
    return {pool: size - taken.get(pool, 0) for pool, size in available.items()}


def more(available: Cost, *costs: Cost) -> dict[str, int]:
    """Return what is available once costs are given back; other pools stay without a bound."""
    given = total(costs)
    return {pool: size + given.get(pool, 0) for pool, size in available.items()}


def fits(cost: Cost, available: Cost) -> bool:
    """Whether every pool has room; a pool that is not listed has no bound."""
    return all(size <= available.get(pool, size) for pool, size in cost.items())


class Policy:
    """Decides which models hold memory; keeps nothing between two decisions.

    Args:
        min_turn_s: least time between a model's loading and its making room for another while it is busy.
    """

    def __init__(self, min_turn_s: float = 2.0) -> None:
        self.min_turn_s = min_turn_s

    def plan(
        self, residents: Sequence[Resident], wanted: Sequence[Wanted], capacity: Cost, now: float
    ) -> Plan:
        """Decide what to do now, by the rules above."""
        return _Decision(self.min_turn_s, residents, capacity, now).of(wanted)


class _Decision:
    def __init__(self, min_turn_s: float, residents: Sequence[Resident], capacity: Cost, now: float) -> None:
        self._min_turn_s = min_turn_s
        self._now = now
        self._residents = residents
        staying = [one for one in residents if one.state != "unloading"]
        self._for_unpinned = less(capacity, *(one.cost for one in staying if one.pinned))
        self._free = less(capacity, *(one.cost for one in residents))
        """What is free this moment."""
        self._coming = less(capacity, *(one.cost for one in staying))
        """What will be free once all is gone that is to go, less what is promised to those who wait."""
        self._load: list[str] = []
        self._unload: dict[str, Reason] = {}
        self._refused: dict[str, Cost] = {}
        self._draining: set[str] = set()
        self._wake_at = math.inf

    def of(self, wanted: Sequence[Wanted]) -> Plan:
        self._retire()
        for one in sorted(wanted, key=lambda one: one.since):
            self._place(one)
        wake_at = None if math.isinf(self._wake_at) else self._wake_at
        draining = frozenset(self._draining)
        return Plan(tuple(self._load), self._unload, self._refused, draining, wake_at, self._coming)

    def _retire(self) -> None:
        """Rule 1."""
        for one in self._residents:
            if one.state != "loaded":
                continue
            if one.stale_since is not None:
                if not one.busy:
                    self._let_go(one, "changed")
                elif self._has_come(one.stale_since + self._min_turn_s):
                    self._drain(one)
            elif not one.busy and not one.pinned and self._has_come(one.idle_since + one.keep_alive_s):
                self._let_go(one, "idle")

    def _place(self, one: Wanted) -> None:
        if not fits(one.cost, self._for_unpinned):
            self._refused[one.id] = self._for_unpinned  # 2
            return
        if fits(one.cost, self._free) and fits(one.cost, self._coming):
            self._load.append(one.id)  # 3
            self._free = less(self._free, one.cost)
        elif not fits(one.cost, self._coming) and not self._make_room(one):  # else 4
            return
        self._coming = less(self._coming, one.cost)

    def _make_room(self, one: Wanted) -> bool:
        """Rules 5 to 7: make residents go; return whether room is promised to this model from now on."""
        going = self._draining | self._unload.keys()
        there = [other for other in self._residents if other.movable and other.id not in going]
        idle = [other for other in there if not other.busy and self._may_go(one, other)]
        if victims := self._enough(one, sorted(idle, key=lambda other: other.idle_since)):
            for victim in victims:  # 5
                self._let_go(victim, "room")
            return True
        due = [other for other in there if self._has_come(self._due(one, other))]
        if victims := self._enough(one, sorted(due, key=lambda other: (other.busy, other.loaded_at))):
            for victim in victims:  # 6
                if victim.busy:
                    self._drain(victim)
                else:
                    self._let_go(victim, "room")
            return True
        turns = [self._turn(one, other) for other in there]
        return self._has_come(one.since + max(turns, default=self._min_turn_s))  # 7

    def _may_go(self, one: Wanted, idle: Resident) -> bool:
        return self._has_come(min(idle.spared_until, self._due(one, idle)))

    def _due(self, one: Wanted, resident: Resident) -> float:
        """Return when a resident's turn is over for the sake of a wanted model."""
        return max(one.since, resident.loaded_at) + self._turn(one, resident)

    def _turn(self, one: Wanted, resident: Resident) -> float:
        return max(self._min_turn_s, one.load_s + resident.load_s)

    def _enough(self, one: Wanted, candidates: list[Resident]) -> list[Resident]:
        """Return the first candidates that together make room, without those that need not go; or none."""
        chosen: list[Resident] = []
        for candidate in candidates:
            chosen.append(candidate)
            if self._suffice(one, chosen):
                for spare in reversed(chosen):
                    rest = [other for other in chosen if other is not spare]
                    chosen = rest if self._suffice(one, rest) else chosen
                return chosen
        return []

    def _suffice(self, one: Wanted, going: list[Resident]) -> bool:
        return fits(one.cost, more(self._coming, *(other.cost for other in going)))

    def _let_go(self, one: Resident, reason: Reason) -> None:
        self._unload[one.id] = reason
        self._coming = more(self._coming, one.cost)

    def _drain(self, one: Resident) -> None:
        self._draining.add(one.id)
        self._coming = more(self._coming, one.cost)

    def _has_come(self, time: float) -> bool:
        """Whether a time has come; if not, decide again then."""
        if time > self._now:
            self._wake_at = min(self._wake_at, time)
        return time <= self._now
