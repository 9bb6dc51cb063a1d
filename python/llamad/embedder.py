"""`AsyncEmbedder`: a model that computes embeddings, or scores documents, on an event loop."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from . import _engine
from .attached import Attached
from .results import error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class EmbedderOptions(TypedDict, total=False):
    """How to load a model. Defaults are those of `EmbedderConfig` in `cpp/engine/embed/embedder_config.h`.

    Attributes:
        n_ctx: most tokens of one input, where the model was trained for more; 0 takes all that it was
            trained for. Default 8192.
        n_ubatch: most tokens of several inputs that are computed at once. Default 512.
        n_threads: compute threads; 0 takes the machine's cores. Default 0.
        n_gpu_layers: layers to put on the GPU; -1 all. Default -1.
        main_gpu: the GPU to use where one is used. Default 0.
        use_mmap: map the file instead of reading it. Default True.
        flash_attn: "auto", "on" or "off". Default "auto".
        max_queue: requests that may run and wait before `QueueFullError`. Default 256.
        request_timeout_s: seconds that a request may take before `RequestTimeoutError`; 0 is no limit.
            Default 0.
    """

    n_ctx: int
    n_ubatch: int
    n_threads: int
    n_gpu_layers: int
    main_gpu: int
    use_mmap: bool
    flash_attn: str
    max_queue: int
    request_timeout_s: float


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of some inputs.

    Attributes:
        vectors: one for each input, in order, of `n_out` float32 each and of length 1. A memoryview:
            `numpy.asarray(vector)` copies nothing, and `vector.tolist()` makes a list.
        n_tokens: of each input.
    """

    vectors: tuple[memoryview[float], ...]
    n_tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well some documents answer a query.

    Attributes:
        scores: one for each document, in order; higher is better. What the model computes, which need
            be no probability.
        n_tokens: of the query and each document, together.
    """

    scores: tuple[float, ...]
    n_tokens: tuple[int, ...]


class AsyncEmbedder(Attached[_engine.Embedder]):
    """A loaded embedding or reranking model on the running event loop.

    Use it as an async context manager, or call `close()`. One instance belongs to one loop; the model
    behind it computes on its own thread, the inputs of all callers in common batches.

    Example:
        >>> async with await AsyncEmbedder.load("models/all-MiniLM-L6-v2.F16.gguf") as embedder:
        ...     answer = await embedder.embed(["How warm is it?", "The temperature is 20 °C."])
        ...     print(len(answer.vectors[0]), answer.n_tokens)
    """

    def __init__(self, native: _engine.Embedder) -> None:
        """Attach a native embedder to the running loop; prefer `AsyncEmbedder.load`."""
        super().__init__(native)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}

    @classmethod
    async def load(
        cls,
        path: str | os.PathLike[str],
        *,
        on_progress: Callable[[float], bool] | None = None,
        **options: Unpack[EmbedderOptions],
    ) -> Self:
        """Load a model in a thread and attach it to the running loop.

        Args:
            path: the GGUF file; of a split model, its first part.
            on_progress: called with the loaded fraction from 0 to 1, on the loading thread;
                returning False gives up.
            options: see `EmbedderOptions`.

        Raises:
            ModelError: the file is missing, damaged, cannot be loaded, or generates text.
            ParameterError: an option is out of range.
        """
        config = _engine.EmbedderConfig(model_path=os.fspath(path), **options)
        native = await asyncio.to_thread(_engine.Embedder, config, on_progress)
        return cls(native)

    @property
    def info(self) -> _engine.EmbedderInfo:
        """What the model says of itself."""
        return self._native.info

    def stats(self) -> dict[str, Any]:
        """Counters, gauges and histograms, read without stopping the engine; see `AsyncEngine.stats`."""
        return self._native.stats()

    async def embed(self, inputs: Sequence[str | Sequence[int]]) -> Embeddings:
        """Compute the vectors of some inputs; cancelling the awaiting task cancels the request.

        Args:
            inputs: at least one; each is text, or token ids taken as they are.

        Raises:
            ContextLengthError: an input is longer than the model's context.
            ParameterError: an input has no tokens, or the model is no embedding model.
            QueueFullError: the bounded queue has no room.
            EngineClosedError: the engine is closed, or was while it worked on this.
            RequestTimeoutError: it took too long.
            GenerationError: the model could not compute it.
        """
        prepared = await self._off_loop(partial(self._native.prepare, inputs))
        values = memoryview(await self._finish(prepared)).cast("f")
        n_out = self.info.n_out
        vectors = tuple(values[begin : begin + n_out] for begin in range(0, len(values), n_out))
        return Embeddings(vectors, tuple(prepared.n_tokens))

    async def rerank(self, query: str, documents: Sequence[str]) -> Ranking:
        """Score documents by how well they answer a query; otherwise as `embed`.

        A model that computes several scores for a document is taken by its first.

        Raises:
            ContextLengthError: the query and a document together are longer than the model's context.
            ParameterError: there is no document, or the model is no reranking model.
        """
        prepared = await self._off_loop(partial(self._native.prepare_rerank, query, documents))
        values = memoryview(await self._finish(prepared)).cast("f")
        return Ranking(tuple(values[:: self.info.n_out].tolist()), tuple(prepared.n_tokens))

    async def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Turn text into token ids; see `Engine.tokenize`."""
        return await self._off_loop(partial(self._native.tokenize, text, add_special, parse_special))

    async def detokenize(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """Turn token ids into text; see `Engine.detokenize`."""
        return await self._off_loop(partial(self._native.detokenize, token_ids, special))

    async def _finish(self, prepared: _engine.PreparedEmbedding) -> bytes:
        request_id = self._native.submit(prepared)
        done: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[request_id] = done
        try:
            return await done
        except asyncio.CancelledError:
            self._native.cancel(request_id)
            raise

    def _drain(self) -> None:
        for end in self._native.drain():
            done = self._waiting.pop(end.request_id)
            if done.cancelled():  # whoever waited has gone
                continue
            if end.finish_reason == "error":
                done.set_exception(error_of(end.error_kind, end.error_message))
            else:
                done.set_result(end.values)
