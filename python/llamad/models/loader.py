"""`EngineLoader`: makes engines of definitions, each on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from llamad import _engine
from llamad.async_embedder import AsyncEmbedder
from llamad.async_engine import AsyncEngine

from .memory import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llamad.embeddings import EmbedderOptions
    from llamad.engine_protocol import EmbedderProtocol, EngineProtocol
    from llamad.options import EngineOptions

    from .catalogue import Definition
    from .memory import DeviceMemory, Placement
    from .metadata import ModelKind

    AnyEngine = EngineProtocol | EmbedderProtocol

T = TypeVar("T")


class Loader(Protocol):
    """What the `ModelManager` needs of whatever makes engines."""

    async def estimate(self, definition: Definition, kind: ModelKind, room: Mapping[str, int]) -> Estimate:
        """Return what a model will take, but for its prefix cache.

        Args:
            definition: the model.
            kind: what its file says that it is made for.
            room: bytes that it may take of GPUs, by name; of those that are not named, what they have free.

        Raises:
            ModelError: its file cannot be read.
        """
        ...

    async def load(
        self,
        definition: Definition,
        kind: ModelKind,
        cache_mib: int,
        placement: Placement,
        on_progress: Callable[[float], None],
    ) -> AnyEngine:
        """Load a model; when it is cancelled, free what it holds before it ends.

        Args:
            definition: the model.
            kind: what its file says that it is made for.
            cache_mib: size of its prefix cache.
            placement: where its layers go, as estimated.
            on_progress: called with the loaded fraction from 0 to 1, on any thread.

        Raises:
            ModelError: it cannot be loaded.
            ParameterError: an option does not suit it.
        """
        ...


class EngineLoader:
    """Loads models with llama.cpp.

    A thread for each load, which ends with it: a slow disk then holds up nobody else's work in threads.

    Args:
        after: called after each load, whatever came of it.
    """

    def __init__(self, after: Callable[[], None] = lambda: None) -> None:
        self._after = after

    async def estimate(self, definition: Definition, kind: ModelKind, room: Mapping[str, int]) -> Estimate:
        """Let llama.cpp simulate the allocation; see `Loader`."""

        def simulate() -> Estimate:
            usable = {one["name"]: one["usable"] for one in _engine.devices()[1:]} | dict(room)
            undecided = _config(definition, kind, 0, {})
            placement = cast("Placement", _engine.place(undecided, usable))
            memory = _engine.estimate_memory(_config(definition, kind, 0, placement))
            for one in memory:
                one["usable"] = usable.get(one["device"], 0)
            return Estimate(cast("list[DeviceMemory]", memory), placement, usable)

        try:
            return await _on_thread(simulate)
        finally:
            self._after()

    async def load(
        self,
        definition: Definition,
        kind: ModelKind,
        cache_mib: int,
        placement: Placement,
        on_progress: Callable[[float], None],
    ) -> AnyEngine:
        """Load a model; see `Loader`."""
        given_up = threading.Event()
        config = _config(definition, kind, cache_mib, placement)

        def progress(fraction: float) -> bool:
            on_progress(fraction)
            return not given_up.is_set()

        def make() -> _engine.Engine | _engine.Embedder:
            if isinstance(config, _engine.EngineConfig):
                return _engine.Engine(config, progress)
            return _engine.Embedder(config, progress)

        loading = asyncio.ensure_future(_on_thread(make))
        try:
            native = await asyncio.shield(loading)
        except asyncio.CancelledError:
            given_up.set()
            await asyncio.wait({loading})
            if loading.exception() is None:
                await asyncio.to_thread(loading.result().close)
            raise
        finally:
            self._after()
        return AsyncEngine(native) if isinstance(native, _engine.Engine) else AsyncEmbedder(native)


def _config(
    definition: Definition, kind: ModelKind, cache_mib: int, placement: Placement
) -> _engine.EngineConfig | _engine.EmbedderConfig:
    path = str(definition.spec.path)
    if kind == "generate":
        options: EngineOptions = {**definition.engine_options(), **placement}
        options["prefix_cache_mib"] = cache_mib
        if cache_mib == 0:  # what is on disk comes through memory
            options["prefix_cache_dir"] = ""
        return _engine.EngineConfig(model_path=path, **options)
    embedding: EmbedderOptions = {**definition.embedder_options(), **placement}
    return _engine.EmbedderConfig(model_path=path, **embedding)


async def _on_thread(function: Callable[[], T]) -> T:
    executor = ThreadPoolExecutor(1, thread_name_prefix="llamad-load")
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, function)
    finally:
        executor.shutdown(wait=False)
