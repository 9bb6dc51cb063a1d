"""`AsyncRequests`: a loaded model on an event loop, and its requests; the ground of `AsyncEngine`."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from .. import _engine, errors, pretrained
from ..described import shown
from ..results import Result
from .batch import AsyncBatch
from .preparation import Preparation
from .stream import Signal, TokenStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..jobs import Job
    from ..options import EngineOptions

R = TypeVar("R", bound=Result)

_ROOM_POLL_S = 0.1
"""How often a full queue is tried again; normally the end of a request wakes the waiter first."""


class AsyncRequests(Preparation):
    """Owns the reader of the engine's wake-up descriptor and the map from request id to `TokenStream`.

    Everything that crosses to the native side is plain data.
    """

    def __init__(self, native: _engine.Engine) -> None:
        """Attach a native engine to the running loop; prefer `AsyncEngine.load`."""
        super().__init__(native)
        self._streams: dict[int, TokenStream] = {}
        self._some_finished = Signal()

    @classmethod
    async def load(
        cls,
        path: str | os.PathLike[str],
        *,
        on_progress: Callable[[float], bool] | None = None,
        **options: Unpack[EngineOptions],
    ) -> Self:
        """Load a model in a thread and attach it to the running loop.

        Args:
            path: the GGUF file; of a split model, its first part.
            on_progress: called with the loaded fraction from 0 to 1, on the loading thread;
                returning False gives up.
            options: see `EngineOptions`.

        Raises:
            ModelError: the file is missing, damaged or cannot be loaded; or it computes embeddings, for
                which there is `AsyncEmbedder`.
            ParameterError: an option is out of range.
        """
        config = _engine.EngineConfig(model_path=os.fspath(path), **options)
        native = await asyncio.to_thread(_engine.Engine, config, on_progress)
        return cls(native)

    @classmethod
    async def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        model_directory: str | os.PathLike[str] | None = None,
        on_progress: Callable[[float], bool] | None = None,
        **options: Unpack[EngineOptions],
    ) -> Self:
        """Load a model by its name, fetched where it is not there yet; see `Engine.from_pretrained`."""
        path = await asyncio.to_thread(pretrained.resolve, name, model_directory)
        return await cls.load(path, on_progress=on_progress, **options)

    @property
    def info(self) -> _engine.ModelInfo:
        """What the model says of itself."""
        return self._native.info

    def stats(self) -> dict[str, Any]:
        """Counters, gauges and histograms of the engine, read without stopping it, also when it is closed.

        `busy_s` tells for how many seconds its thread has got nothing done although it has work. A histogram
        is a tuple: upper limits of its buckets, counts of each bucket alone and of what lies beyond, sum.
        """
        return self._native.stats()

    def slots(self) -> list[dict[str, Any]]:
        """What each slot is doing, read without stopping the engine: counts, no text.

        `state` is "idle", "prefill" or "decode"; `n_prompt`, `n_cached`, `n_computed` and `n_generated` are
        tokens, `n_computed` those in the slot's KV stream, which an idle slot keeps for the next request;
        `age_s` is seconds since the request was submitted. `request_id` is None in an idle slot.
        """
        return self._native.slots()

    def __repr__(self) -> str:
        info = self.info
        return shown(self, info, f"{info.n_parallel} slots of {info.n_ctx} tokens")

    def submit(self, prepared: _engine.Prepared) -> TokenStream:
        """Hand a prepared request to the engine; never waits. On the engine's own loop only.

        Raises:
            ValueError: it was prepared with `n` above 1, for `submit_choices`.
            QueueFullError: the bounded queue has no room.
            EngineClosedError: the engine is closed.
        """
        if prepared.n != 1:
            raise ValueError(f"the request has {prepared.n} choices: hand it to submit_choices")
        return self.submit_choices(prepared)[0]

    def submit_choices(self, *prepared: _engine.Prepared) -> list[TokenStream]:
        """Hand prepared requests of any number of choices to the engine; never waits.

        On the engine's own loop only.

        Args:
            prepared: at least one. The streams of all have one signal and may be read together.

        Returns:
            A stream for each choice, in order. All are accepted, or none; each prompt is computed
            once.

        Raises:
            QueueFullError: the bounded queue has no room for all of them now.
            ParameterError: it never has.
            EngineClosedError: the engine is closed.
        """
        signal = Signal()
        streams = [
            TokenStream(request_id, self._native.cancel, signal, self._home)
            for request_id in self._native.submit(*prepared)
        ]
        self._streams.update((stream.request_id, stream) for stream in streams)
        return streams

    def _batch(self, jobs: Iterable[Job[R]], n_total: int | None) -> AsyncBatch[R]:
        return AsyncBatch(jobs, self, n_total)

    async def _one(self, job: Job[R], return_exceptions: bool) -> R | BaseException:
        return (await self._batch([job], 1).results(return_exceptions=return_exceptions))[0]

    async def _prepare_job(self, job: Job[R], *, stream: bool) -> _engine.Prepared:
        return await self._off_loop(partial(job.prepare, self._native, stream=stream))

    async def _submit_when_room(self, prepared: _engine.Prepared) -> TokenStream:
        while True:
            try:
                return self.submit(prepared)
            except errors.QueueFullError:
                room = asyncio.ensure_future(self._some_finished.wait())
                await asyncio.wait([room], timeout=_ROOM_POLL_S)
                room.cancel()

    def _drain(self) -> None:
        for request_id, text, token_ids, logprobs, finish in self._native.drain():
            stream = self._streams[request_id] if finish is None else self._streams.pop(request_id)
            stream.push(text, token_ids, logprobs, finish)
            if finish is not None:
                self._some_finished.fire()
