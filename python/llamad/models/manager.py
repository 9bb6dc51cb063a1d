"""`ModelManager`: the models of a directory, loaded as they are asked for and as far as memory goes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from llamad.errors import ModelBusyError, ModelLoadingError, ParameterError, UnknownModelError

from .catalogue import Catalogue
from .entries import ModelEntry, ModelState
from .keeper import Keeper
from .memory import Budget
from .metadata import Headers, cached_metadata
from .residency import Policy, total
from .statistics import ModelStatistics
from .waiting import WaitingRoom

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llamad.engine_protocol import EmbedderProtocol, EngineProtocol
    from llamad.settings import Settings

    from .catalogue import Definition
    from .instance import Instance
    from .lease import Lease
    from .loader import Loader
    from .metadata import ModelKind, ModelMetadata

_ABLE: dict[ModelKind, str] = {"generate": "generates text", "embed": "embeds", "rerank": "reranks"}
_ASKED: dict[ModelKind, str] = {"generate": "generate text", "embed": "embed", "rerank": "rerank"}
"""What a kind of model does, and is asked to do, as messages say it."""


class ModelManager:
    """The models of a directory and the engines of those that are loaded.

    Lives on one event loop. The directory is the catalogue: files that come, go or change are noticed
    within a second of a request. A loaded model is served and listed even when its file is gone.

    Args:
        settings: where the models are, how they are loaded, and how much memory they may take.
        loader: makes their engines.
        budget: how much memory they may take; None: as the settings say.
        policy: who may hold memory.
        clock: monotonic time in seconds.
        call_later: calls a function after so many seconds; None: the loop's.

    Raises:
        SettingsError: a table of a model's own settings is wrong.
    """

    def __init__(
        self,
        settings: Settings,
        loader: Loader,
        *,
        budget: Budget | None = None,
        policy: Policy | None = None,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle] | None = None,
    ) -> None:
        self._settings = settings
        self._catalogue = Catalogue(settings, clock)
        self._headers = Headers()
        self._keeper = Keeper(
            self._catalogue,
            loader,
            self._headers,
            budget or Budget(settings.memory_budget),
            policy=policy or Policy(),
            waiting=WaitingRoom(settings.n_parallel + settings.max_queue),
            clock=clock,
            call_later=call_later or (lambda delay, call: asyncio.get_running_loop().call_later(delay, call)),
        )

    def entries(self) -> list[ModelEntry]:
        """List the models there are, by id, as of the last look; opens no file."""
        instances = self._keeper.instances
        definitions = dict(self._catalogue.definitions())
        for model_id, instance in instances.items():
            definitions.setdefault(model_id, instance.definition)
        return [self._entry(definition) for _, definition in sorted(definitions.items())]

    async def read_entries(self) -> list[ModelEntry]:
        """List the models there are, by id, with what their files say; reads each file's header once."""
        await self._refresh()
        paths = {definition.spec.path for definition in self._catalogue.definitions().values()}
        await asyncio.gather(*map(self._headers.read, paths))
        return self.entries()

    def find(self, name: str) -> str | None:
        """Return the id of the model that an id or an alias names, as of the last look."""
        definition = self._find(name)
        return None if definition is None else definition.id

    def engines(self) -> dict[str, EngineProtocol]:
        """Return the engines of the loaded models that generate text, by id."""
        return {
            model_id: cast("EngineProtocol", instance.engine)
            for model_id, instance in self._loaded().items()
            if instance.kind == "generate"
        }

    def embedders(self) -> dict[str, EmbedderProtocol]:
        """Return the loaded models that embed or rerank, by id."""
        return {
            model_id: cast("EmbedderProtocol", instance.engine)
            for model_id, instance in self._loaded().items()
            if instance.kind != "generate"
        }

    @overload
    async def lease(self, name: str, kind: Literal["generate"]) -> Lease[EngineProtocol]: ...

    @overload
    async def lease(self, name: str, kind: Literal["embed", "rerank"]) -> Lease[EmbedderProtocol]: ...

    async def lease(self, name: str, kind: ModelKind) -> Lease[Any]:
        """Return a model's engine for the length of a request; load the model first where that is needed.

        While the lease is held the model stays. Cancelling one caller cancels neither the load nor
        anybody else's wait.

        Args:
            name: id or alias of the model.
            kind: what it is asked to do.

        Raises:
            UnknownModelError: the directory has no such model.
            ParameterError: the model is made for something else.
            ModelLoadingError: it was not there within `load_timeout`; its load goes on.
            QueueFullError: too many wait for it already.
            MemoryBudgetError: it never fits into the memory there is.
            LoadFailedError: the load failed. The next call tries again.
            EngineClosedError: the manager is closed.
        """
        definition = await self._known(name)
        await self._require(definition, kind)
        return await self._keeper.acquire(definition.id, self._settings.load_timeout)

    async def load(self, name: str) -> ModelEntry:
        """Load a model, whatever it is made for, and return what is known of it; raises as `lease`."""
        definition = await self._known(name)
        with await self._keeper.acquire(definition.id, self._settings.load_timeout):
            return self._entry(definition)

    async def unload(self, name: str, *, force: bool = False) -> ModelEntry:
        """Unload a model, or leave it so, and return what is known of it. The next request loads it again.

        Args:
            name: id or alias of the model.
            force: whether to do it although it is being loaded, or requests use it; these end with an error.

        Raises:
            UnknownModelError: the directory has no such model.
            ModelBusyError: it is being loaded or used, and `force` is False.
        """
        definition = await self._known(name)
        instance = self._keeper.instances.get(definition.id)
        if instance is not None:
            self._check_idle(instance, force=force)
            if instance.state == "loading":
                message = f"model {definition.id!r} was unloaded while it was loading; try again later"
                self._keeper.waiting.fail(definition.id, ModelLoadingError(message))
            task = self._keeper.unload(instance, "asked")
            # Shielded: who gives up waiting must not leave it half closed.
            await asyncio.shield(asyncio.wait({task}))
        return self._entry(definition)

    async def preload(self, names: Sequence[str]) -> None:
        """Load models, and those whose settings ask for it; none makes room for another.

        Raises:
            MemoryBudgetError: they do not fit together.
            LlamadError: as `lease`.
        """
        kept: list[Instance] = []
        try:
            await self._refresh()
            asked = [one.id for one in self._catalogue.definitions().values() if one.table.preload]
            for model_id in dict.fromkeys([*[(await self._known(name)).id for name in names], *asked]):
                with await self._keeper.acquire(model_id, self._settings.load_timeout):
                    kept.append(self._keeper.instances[model_id])
                    kept[-1].kept = True
        finally:
            for instance in kept:
                instance.kept = False
            self._keeper.act()

    async def reload(self, settings: Settings) -> None:
        """Take new settings. Loaded models that they change are replaced when they are idle.

        Raises:
            SettingsError: a table of a model's own settings is wrong; nothing is changed.
        """
        await self._catalogue.reload(settings)
        self._settings = settings
        self._keeper.waiting.most = settings.n_parallel + settings.max_queue
        self._keeper.notice_changes()

    def statistics(self) -> ModelStatistics:
        """Return what has been done and how things stand; cheap."""
        keeper = self._keeper
        costs = {model_id: instance.cost for model_id, instance in keeper.instances.items()}
        return ModelStatistics(
            counters=keeper.counters,
            waiting={model_id: keeper.waiting.count(model_id) for model_id in keeper.waiting.model_ids()},
            memory_budget=dict(keeper.budget.capacity),
            memory_used=total(costs.values()),
            memory_by_model={model_id: keeper.budget.bytes_of(cost) for model_id, cost in costs.items()},
        )

    async def close(self) -> None:
        """Give up the loads under way and close every engine; idempotent.

        An engine that fails to close is logged, and keeps no other open.
        """
        self._headers.close()
        await self._keeper.close()

    def _loaded(self) -> dict[str, Instance]:
        return {
            model_id: instance
            for model_id, instance in self._keeper.instances.items()
            if instance.state == "loaded"
        }

    async def _refresh(self) -> None:
        if await self._catalogue.refresh():
            self._keeper.notice_changes()

    def _find(self, name: str) -> Definition | None:
        definition = self._catalogue.find(name)
        if definition is None and name in self._keeper.instances:  # its file is gone, and it is still there
            definition = self._keeper.instances[name].definition
        return definition

    async def _known(self, name: str) -> Definition:
        await self._refresh()
        definition = self._find(name)
        if definition is None:
            raise UnknownModelError(name, [entry.id for entry in self.entries()])
        return definition

    async def _require(self, definition: Definition, wanted: ModelKind) -> None:
        """Raise a `ParameterError` if a model's file says that it is made for something else."""
        metadata = self._metadata(definition)
        if metadata is None:
            metadata = await self._headers.read(definition.spec.path)
        if metadata is not None and metadata.kind != wanted:
            message = f"model {definition.id!r} cannot {_ASKED[wanted]}: it {_ABLE[metadata.kind]}"
            raise ParameterError(message, param="model")

    def _metadata(self, definition: Definition) -> ModelMetadata | None:
        instance = self._keeper.instances.get(definition.id)
        return cached_metadata(definition.spec.path) if instance is None else instance.metadata

    def _check_idle(self, instance: Instance, *, force: bool) -> None:
        model_id = instance.definition.id
        if force or instance.state == "unloading":
            return
        if instance.state == "loading":
            raise ModelBusyError(f"model {model_id!r} is being loaded; force ends that")
        if instance.leases:
            requests = "1 request uses" if instance.leases == 1 else f"{instance.leases} requests use"
            raise ModelBusyError(f"{requests} model {model_id!r}; force ends what runs with an error")

    def _entry(self, definition: Definition) -> ModelEntry:
        keeper, spec = self._keeper, definition.spec
        instance = keeper.instances.get(definition.id)
        return ModelEntry(
            id=definition.id,
            path=spec.path,
            size_bytes=spec.size_bytes,
            created=spec.created,
            state=self._state(definition.id),
            metadata=self._metadata(definition),
            progress=None if instance is None or instance.state != "loading" else instance.progress,
            error=keeper.failures.get(definition.id),
            memory_bytes=None if instance is None else keeper.budget.bytes_of(instance.cost),
            pinned=definition.table.pinned,
            aliases=self._catalogue.aliases(definition.id),
        )

    def _state(self, model_id: str) -> ModelState:
        instance = self._keeper.instances.get(model_id)
        if instance is not None:
            return instance.state
        if self._keeper.waiting.count(model_id):
            return "queued"
        return "failed" if model_id in self._keeper.failures else "unloaded"
