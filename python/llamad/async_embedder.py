"""`AsyncEmbedder`: a model that computes embeddings, or scores documents, on an event loop."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Self, Unpack

from . import _engine, pretrained
from .aio.attached import Attached
from .aio.home import at_home
from .described import shown
from .embeddings import Embeddings, Ranking, checked_documents, checked_inputs, in_a_row
from .results import error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .embeddings import EmbedderOptions


class AsyncEmbedder(Attached[_engine.Embedder]):
    """A loaded embedding or reranking model on the running event loop.

    Use it as an async context manager, or call `close()`. One instance belongs to one loop, and its
    coroutines may be awaited on others too, in other threads. The model behind it computes on its own
    thread, the inputs of all callers in common batches.

    Example:
        >>> async with await AsyncEmbedder.load("models/all-MiniLM-L6-v2.F16.gguf") as embedder:
        ...     answer = await embedder.embed(["How warm is it?", "The temperature is 20 °C."])
        ...     print(len(answer.vectors[0]), answer.n_tokens)
    """

    def __init__(self, native: _engine.Embedder) -> None:
        """Attach a native embedder to the running loop; prefer `AsyncEmbedder.load`."""
        super().__init__(native)
        self._waiting: dict[int, asyncio.Future[memoryview[float]]] = {}

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

    @classmethod
    async def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        model_directory: str | os.PathLike[str] | None = None,
        on_progress: Callable[[float], bool] | None = None,
        **options: Unpack[EmbedderOptions],
    ) -> Self:
        """Load a model by its name, fetched where it is not there yet; see `Embedder.from_pretrained`."""
        path = await asyncio.to_thread(pretrained.resolve, name, model_directory)
        return await cls.load(path, on_progress=on_progress, **options)

    @property
    def info(self) -> _engine.EmbedderInfo:
        """What the model says of itself."""
        return self._native.info

    def stats(self) -> dict[str, Any]:
        """Counters, gauges and histograms, read without stopping the engine; see `AsyncEngine.stats`."""
        return self._native.stats()

    def __repr__(self) -> str:
        info = self.info
        return shown(self, info, f"{info.n_out} numbers for up to {info.n_ctx} tokens")

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
        prepared = await self._off_loop(lambda: self._native.prepare(checked_inputs(inputs)))
        values = in_a_row(await self._finish(prepared))
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
        prepared = await self._off_loop(
            lambda: self._native.prepare_rerank(query, checked_documents(query, documents))
        )
        values = in_a_row(await self._finish(prepared))
        return Ranking(tuple(values[:: self.info.n_out].tolist()), tuple(prepared.n_tokens))

    async def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Turn text into token ids; see `Engine.tokenize`."""
        return await self._off_loop(partial(self._native.tokenize, text, add_special, parse_special))

    async def detokenize(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """Turn token ids into text; see `Engine.detokenize`."""
        return await self._off_loop(partial(self._native.detokenize, token_ids, special))

    @at_home
    async def _finish(self, prepared: _engine.PreparedEmbedding) -> memoryview[float]:
        request_id = self._native.submit(prepared)
        done: asyncio.Future[memoryview[float]] = self._loop.create_future()
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
