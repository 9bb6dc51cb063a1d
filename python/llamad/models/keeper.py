"""`Keeper`: carries out what the policy decides. It loads, unloads and hands out leases."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from llamad.errors import EngineClosedError, LlamadError, ModelLoadingError, UnknownModelError

from .instance import Instance
from .lease import Lease
from .memory import cache_mib
from .needs import AUTOMATIC, Needs
from .refusals import load_failed, too_large
from .residency import Wanted, less, total
from .statistics import Counters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .catalogue import Catalogue, Definition
    from .loader import Loader
    from .memory import Budget
    from .metadata import Headers
    from .needs import Need
    from .residency import Policy
    from .waiting import WaitingRoom

_logger = logging.getLogger(__name__)

_WHY = {
    "room": "to make room",
    "idle": "nobody has used it for its keep-alive",
    "changed": "its file or its settings have changed",
    "asked": "as asked",
    "closed": "the server stops",
}


class Keeper:
    """The models that hold memory, and who waits for others.

    Lives on one event loop. Whatever happens to it ends in `act`, where the policy decides anew.

    Args:
        catalogue: what may be loaded.
        loader: makes engines.
        headers: says what files are.
        budget: how much memory there is.
        policy: decides.
        waiting: who waits.
        clock: monotonic time in seconds.
        call_later: calls a function after so many seconds; the handle it returns takes that back.

    Attributes:
        instances: the models that hold memory, by id.
        failures: why the last load of a model failed, by id.
        counters: what has happened.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        loader: Loader,
        headers: Headers,
        budget: Budget,
        *,
        policy: Policy,
        waiting: WaitingRoom,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
    ) -> None:
        self.instances: dict[str, Instance] = {}
        self.failures: dict[str, str] = {}
        self.counters = Counters()
        self.budget = budget
        self.waiting = waiting
        self._catalogue = catalogue
        self._loader = loader
        self._policy = policy
        self._needs = Needs(loader, headers, lambda _: self.act(), self._on_failure)
        self._clock = clock
        self._call_later = call_later
        self._wake: asyncio.TimerHandle | None = None
        self._draining: frozenset[str] = frozenset()
        self._last_load_s: dict[str, float] = {}
        self._closed = False

    async def acquire(self, model_id: str, timeout_s: float) -> Lease[Any]:
        """Return a lease of a model, when it is loaded and its turn has come.

        Raises:
            ModelLoadingError: that took too long.
            QueueFullError: too many wait for it already.
            MemoryBudgetError: it never fits.
            LoadFailedError: it could not be loaded.
            UnknownModelError: it has left the directory meanwhile.
            EngineClosedError: the keeper is closed.
        """
        if self._closed:
            raise EngineClosedError("the server is shutting down")
        instance = self.instances.get(model_id)
        if instance is not None and self._serves(instance):
            return self._grant(instance)
        waiter = self.waiting.enter(model_id, self._clock())
        self.act()
        # Unlike `wait_for`, `wait` loses no outcome that comes together with a cancellation.
        try:
            await asyncio.wait({waiter.outcome}, timeout=timeout_s)
        except asyncio.CancelledError:
            if waiter.outcome.done() and waiter.outcome.exception() is None:
                waiter.outcome.result().release()
            raise
        finally:
            if not waiter.outcome.done():
                self.waiting.leave(waiter)
                self.act()
        if not waiter.outcome.done():
            raise ModelLoadingError(
                f"model {model_id!r} is not loaded after {timeout_s:g} s; try again later"
            )
        return waiter.outcome.result()

    def act(self) -> None:
        """Let the policy decide, and carry it out."""
        if self._closed:
            return
        self._admit()
        residents = [instance.snapshot() for instance in self.instances.values()]
        needs = self._needed()
        wanted = [self._wanted(model_id, need) for model_id, need in needs.items()]
        now = self._clock()
        plan = self._policy.plan(residents, wanted, self.budget.capacity, now)
        self._draining = plan.draining
        for model_id, left in plan.refused.items():
            pinned = [one.id for one in residents if one.pinned]
            cost = needs[model_id].cost(self.budget)
            error = too_large(model_id, cost, self.budget.capacity, left, pinned)
            _logger.warning("not loading %s: %s", model_id, error)
            self.failures[model_id] = str(error)
            self.waiting.fail(model_id, error)
        for model_id, reason in plan.unload.items():
            self.unload(self.instances[model_id], reason)
        self._load_all([needs[model_id] for model_id in plan.load], plan.left[self.budget.pool])
        self._admit()
        if self._wake is not None:
            self._wake.cancel()
        self._wake = None if plan.wake_at is None else self._call_later(plan.wake_at - now, self.act)

    def notice_changes(self) -> None:
        """Compare what is loaded with the catalogue."""
        definitions = self._catalogue.definitions()
        for model_id, instance in self.instances.items():
            definition = definitions.get(model_id)
            if definition is None or definition is instance.definition:
                continue
            if definition.loads_like(instance.definition):
                instance.definition = definition
                instance.stale_since = None
            elif instance.stale_since is None:
                instance.stale_since = self._clock()
        self.act()

    def unload(self, instance: Instance, reason: str) -> asyncio.Task[None]:
        """Begin to unload a model; what still uses it ends with an error."""
        if instance.state != "unloading" or instance.task is None:
            loading = instance.task if instance.state == "loading" else None
            instance.state = "unloading"
            instance.task = asyncio.create_task(self._unload(instance, reason, loading))
        return instance.task

    async def close(self) -> None:
        """Answer who waits, give up loads, and close every engine; idempotent."""
        self._closed = True
        if self._wake is not None:
            self._wake.cancel()
        for model_id in self.waiting.model_ids():
            self.waiting.fail(model_id, EngineClosedError("the server is shutting down"))
        await self._needs.close()
        instances = list(self.instances.values())
        await asyncio.gather(*(self.unload(instance, "closed") for instance in instances))

    def _serves(self, instance: Instance) -> bool:
        return instance.state == "loaded" and instance.definition.id not in self._draining

    def _grant(self, instance: Instance) -> Lease[Any]:
        instance.leases += 1

        def give_back() -> None:
            instance.leases -= 1
            if instance.leases == 0:
                instance.idle_since = self._clock()
                self.act()

        definition = instance.definition
        return Lease(definition.id, instance.engine, definition.table.sampling, give_back)

    def _admit(self) -> None:
        for model_id in self.waiting.model_ids():
            instance = self.instances.get(model_id)
            if instance is not None and self._serves(instance):
                self.waiting.admit(model_id, partial(self._grant, instance))

    def _needed(self) -> dict[str, Need]:
        """Return the needs of the models that are waited for and hold no memory, as far as they are known."""
        needs = {}
        residents = [instance.snapshot() for instance in self.instances.values()]
        # What others hold besides can be taken from them.
        room = self.budget.room(one.cost for one in residents if one.pinned and one.state != "unloading")
        for model_id in self.waiting.model_ids():
            if model_id in self.instances:
                continue
            definition = self._catalogue.definitions().get(model_id)
            if definition is None:
                error = UnknownModelError(model_id, list(self._catalogue.definitions()))
                self.waiting.fail(model_id, error)
            elif need := self._needs.ask(definition, room):
                needs[model_id] = need
        return needs

    def _wanted(self, model_id: str, need: Need) -> Wanted:
        return Wanted(
            id=model_id,
            cost=need.cost(self.budget),
            since=self.waiting.oldest(model_id),
            load_s=self._last_load_s.get(model_id, 0.0),
        )

    def _load_all(self, needs: Sequence[Need], left: int) -> None:
        """Begin to load models that fit together; their caches share what is left, and promised to nobody."""
        for need in needs:
            self.failures.pop(need.definition.id, None)
            self.instances[need.definition.id] = Instance(need, need.cost(self.budget))
        for need in needs:
            instance = self.instances[need.definition.id]
            mib = self._cache_mib(need, left)
            left -= (mib - max(0, need.cache_mib)) << 20
            instance.cost = need.cost(self.budget, mib)
            instance.task = asyncio.create_task(self._load(instance, mib))

    def _cache_mib(self, need: Need, most: int) -> int:
        if need.cache_mib != AUTOMATIC:
            return need.cache_mib
        used = total(instance.cost for instance in self.instances.values())
        left = min(most, less(self.budget.capacity, used)[self.budget.pool])
        others = [
            self._needs.size(definition)
            for model_id, definition in self._catalogue.definitions().items()
            if model_id not in self.instances
        ]
        return cache_mib(left, others)

    async def _load(self, instance: Instance, mib: int) -> None:
        model_id, started = instance.definition.id, self._clock()
        size_mib = instance.definition.spec.size_bytes / 2**20
        _logger.info("loading %s (%.0f MiB, prefix cache %d MiB)", model_id, size_mib, mib)
        try:
            await instance.load(self._loader, mib)
        except Exception as error:  # noqa: BLE001 - whatever it is, the waiters are told
            if instance.state == "loading":  # else it is given up, and `_unload` sees to it
                del self.instances[model_id]
                self._on_failure(instance.definition, error)
            return
        if instance.state == "loaded":
            now = self._clock()
            self._last_load_s[model_id] = instance.load_s = now - started
            instance.loaded_at = instance.idle_since = now
            self.counters.loaded(model_id, instance.load_s)
            _logger.info("loaded %s in %.1f s%s", model_id, instance.load_s, instance.where)
            self.notice_changes()

    def _on_failure(self, definition: Definition, error: Exception) -> None:
        failed = load_failed(definition, error)
        self.counters.load_failures[definition.id] += 1
        self.failures[definition.id] = str(failed)
        expected = isinstance(error, LlamadError)
        _logger.warning("loading %s failed: %s", definition.id, error, exc_info=None if expected else error)
        self.waiting.fail(definition.id, failed)
        self.act()

    async def _unload(self, instance: Instance, reason: str, loading: asyncio.Task[None] | None) -> None:
        model_id = instance.definition.id
        _logger.info("unloading %s: %s", model_id, _WHY[reason])
        if loading is not None:
            loading.cancel()
            await asyncio.wait({loading})
        try:
            await instance.close()
        except Exception:
            _logger.exception("closing %s failed", model_id)
        (self.counters.evictions if reason == "room" else self.counters.unloads)[model_id] += 1
        del self.instances[model_id]
        self.act()
