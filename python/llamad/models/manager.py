"""`ModelManager`: models load on their first request, once however many ask."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from llamad.errors import (
    EngineClosedError,
    ModelError,
    ModelLoadError,
    ModelLoadingError,
    ParameterError,
    UnknownModelError,
)

from .metadata import cached_metadata, read_metadata
from .specs import ModelSpec, Scan, scan

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from llamad.engine_protocol import EmbedderProtocol, EngineProtocol

    from .metadata import ModelKind, ModelMetadata

    AnyEngine = EngineProtocol | EmbedderProtocol

ModelState = Literal["unloaded", "loading", "loaded", "failed"]
"""`failed`: the last attempt to load it failed; the next request tries again."""

_logger = logging.getLogger(__name__)

_RESCAN_INTERVAL_S = 1.0
"""A look at a directory of a hundred files takes a few milliseconds of the event loop."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One line of the list of models.

    Attributes:
        id: the name by which requests ask for it.
        path: the file that is loaded; of a split model, the first part.
        size_bytes: of all its files.
        created: Unix time of the newest file's last change, in seconds.
        state: whether it is loaded.
        metadata: what the file says of the model; None where it cannot be read, or has not been yet.
    """

    id: str
    path: Path
    size_bytes: int
    created: int
    state: ModelState
    metadata: ModelMetadata | None = None


@dataclass(frozen=True, slots=True)
class _Loaded:
    spec: ModelSpec
    engine: AnyEngine
    metadata: ModelMetadata | None


_ABLE: dict[ModelKind, str] = {"generate": "generates text", "embed": "embeds", "rerank": "reranks"}
_ASKED: dict[ModelKind, str] = {"generate": "generate text", "embed": "embed", "rerank": "rerank"}
"""What a kind of model does, and is asked to do, as messages say it."""


class ModelManager:
    """The models of a directory and the engines of those that are loaded.

    Lives on one event loop. The directory is the catalogue: files that come or go are noticed
    within a second. A loaded model is served and listed even when its file is gone.

    Args:
        directory: where the models are; see `llamad.models.specs`.
        load: makes the engine of a model, or the embedder, as its file says. When `close` cancels it,
            it frees what it holds.
        load_timeout: how long one call of `get` waits for a load, in seconds. The load goes on.
        clock: monotonic time in seconds, for the age of the last look at the directory.
    """

    def __init__(
        self,
        directory: Path,
        load: Callable[[ModelSpec], Awaitable[AnyEngine]],
        load_timeout: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._load = load
        self._load_timeout = load_timeout
        self._clock = clock
        self._scan = Scan({}, ())
        self._scanned_at: float | None = None
        self._loaded: dict[str, _Loaded] = {}
        self._loads: dict[str, asyncio.Task[AnyEngine]] = {}
        self._failed: set[str] = set()
        self._closed = False

    def entries(self) -> list[ModelEntry]:
        """List the models there are, by id; opens no file."""
        return [self._entry(spec) for _, spec in sorted(self._specs().items())]

    async def read_entries(self) -> list[ModelEntry]:
        """List the models there are, by id, with what their files say; reads each file's header once."""
        paths = [spec.path for spec in self._specs().values()]
        await asyncio.to_thread(lambda: [read_metadata(path) for path in paths])
        return self.entries()

    def engines(self) -> dict[str, EngineProtocol]:
        """Return the engines of the loaded models that generate text, by id."""
        return {
            model_id: cast("EngineProtocol", loaded.engine)
            for model_id, loaded in self._loaded.items()
            if _kind_of(loaded.metadata) == "generate"
        }

    def embedders(self) -> dict[str, EmbedderProtocol]:
        """Return the loaded models that embed or rerank, by id."""
        return {
            model_id: cast("EmbedderProtocol", loaded.engine)
            for model_id, loaded in self._loaded.items()
            if _kind_of(loaded.metadata) != "generate"
        }

    async def get(self, model_id: str) -> EngineProtocol:
        """Return a model's engine; load the model first where that is needed.

        Cancelling one caller cancels neither the load nor anybody else's wait.

        Raises:
            UnknownModelError: the directory has no such model.
            ParameterError: the model does not generate text.
            ModelLoadingError: the load took longer than `load_timeout`; it goes on.
            ModelError: the load failed. The next call tries again.
            EngineClosedError: the manager is closed.
        """
        return cast("EngineProtocol", await self._get(model_id, "generate"))

    async def get_embedder(self, model_id: str, kind: Literal["embed", "rerank"]) -> EmbedderProtocol:
        """Return a model that embeds, or one that reranks; otherwise as `get`."""
        return cast("EmbedderProtocol", await self._get(model_id, kind))

    async def preload(self, model_id: str) -> None:
        """Load a model, whatever it is made for; raises as `get`."""
        await self._get(model_id, None)

    async def _get(self, model_id: str, kind: ModelKind | None) -> AnyEngine:
        if self._closed:
            raise EngineClosedError("the server is shutting down")
        if kind is not None:
            await self._require(model_id, kind)
        if model_id in self._loaded:
            return self._loaded[model_id].engine
        load = self._loads.get(model_id) or self._start(model_id)
        # Unlike `wait_for`, `wait` leaves the task alone when its caller gives up or is cancelled.
        done, _ = await asyncio.wait({load}, timeout=self._load_timeout)
        if not done:
            raise ModelLoadingError(
                f"model {model_id!r} is still loading after {self._load_timeout:g} s; try again later"
            )
        if self._closed:
            raise EngineClosedError("the server is shutting down")
        return load.result()

    async def _require(self, model_id: str, wanted: ModelKind) -> None:
        """Raise a `ParameterError` if a model's file says that it is made for something else."""
        if model_id in self._loaded:
            metadata = self._loaded[model_id].metadata
        elif spec := self._specs().get(model_id):
            metadata = cached_metadata(spec.path) or await asyncio.to_thread(read_metadata, spec.path)
        else:
            return
        if metadata is not None and metadata.kind != wanted:
            message = f"model {model_id!r} cannot {_ASKED[wanted]}: it {_ABLE[metadata.kind]}"
            raise ParameterError(message, param="model")

    async def close(self) -> None:
        """Give up the loads under way and close every engine; idempotent.

        An engine that fails to close is logged, and keeps no other open.
        """
        self._closed = True
        loads = list(self._loads.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        # Only now: a load that finished in spite of the cancellation has left its engine here.
        loaded = self._loaded
        self._loaded = {}
        results = await asyncio.gather(
            *(one.engine.close() for one in loaded.values()), return_exceptions=True
        )
        for model_id, result in zip(loaded, results, strict=True):
            if isinstance(result, Exception):
                _logger.error("closing %s failed", model_id, exc_info=result)

    def _specs(self) -> dict[str, ModelSpec]:
        return self._models() | {model_id: loaded.spec for model_id, loaded in self._loaded.items()}

    def _entry(self, spec: ModelSpec) -> ModelEntry:
        loaded = self._loaded.get(spec.id)
        metadata = cached_metadata(spec.path) if loaded is None else loaded.metadata
        return ModelEntry(spec.id, spec.path, spec.size_bytes, spec.created, self._state(spec.id), metadata)

    def _state(self, model_id: str) -> ModelState:
        if model_id in self._loaded:
            return "loaded"
        if model_id in self._loads:
            return "loading"
        return "failed" if model_id in self._failed else "unloaded"

    def _models(self) -> dict[str, ModelSpec]:
        now = self._clock()
        if self._scanned_at is None or now - self._scanned_at >= _RESCAN_INTERVAL_S:
            known_problems = set(self._scan.problems)
            self._scan = scan(self._directory)
            self._scanned_at = now
            for problem in self._scan.problems:
                if problem not in known_problems:
                    _logger.warning("%s: %s", self._directory, problem)
        return self._scan.models

    def _start(self, model_id: str) -> asyncio.Task[AnyEngine]:
        spec = self._models().get(model_id)
        if spec is None:
            raise UnknownModelError(model_id, [entry.id for entry in self.entries()])
        load = asyncio.create_task(self._run(spec), name=f"load {model_id}")
        # Looked at even when every waiter has gone, else asyncio reports it as never retrieved.
        load.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._loads[model_id] = load
        self._failed.discard(model_id)
        return load

    async def _run(self, spec: ModelSpec) -> AnyEngine:
        started = self._clock()
        _logger.info("loading %s (%.0f MiB)", spec.id, spec.size_bytes / 2**20)
        try:
            metadata = await asyncio.to_thread(read_metadata, spec.path)
            engine = await self._load(spec)
        except Exception as error:
            self._failed.add(spec.id)
            if isinstance(error, ModelError):
                _logger.warning("loading %s failed: %s", spec.id, error)
                raise
            _logger.exception("loading %s failed", spec.id)
            raise ModelLoadError(f"model {spec.id!r} could not be loaded: {error}") from error
        finally:
            del self._loads[spec.id]
        self._loaded[spec.id] = _Loaded(spec, engine, metadata)
        _logger.info("loaded %s in %.1f s", spec.id, self._clock() - started)
        return engine


def _kind_of(metadata: ModelMetadata | None) -> ModelKind:
    return "generate" if metadata is None else metadata.kind
