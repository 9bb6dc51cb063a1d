"""`Embedder`: vectors of texts and scores of documents, for notebooks and scripts; needs no event loop."""

from __future__ import annotations

import os
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Self, Unpack

from . import _engine, pretrained
from .blocking.embed_delivery import EmbedCall, EmbedDelivery
from .described import shown
from .embeddings import EmbedderOptions, Ranking, checked_documents, checked_inputs, in_a_row
from .lifetime import Uncopyable, close_at_exit
from .progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt


class Embedder(Uncopyable):
    """A loaded model that computes embeddings, or scores documents.

    Every method may be called from any thread; the inputs of all callers share the model's batches. Close it,
    or use it as a context manager, to free the model's memory; the arrays it has returned stay good.

    Example:
        >>> with Embedder.from_pretrained("minilm") as embedder:
        ...     vectors = embedder.embed(["How warm is it?", "The temperature is 20 °C."])
        ...     print(vectors.shape, vectors[0] @ vectors[1])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        on_progress: Callable[[float], bool] | None = None,
        **options: Unpack[EmbedderOptions],
    ) -> None:
        """Load a model; blocks until it is ready.

        Args:
            path: the GGUF file; of a split model, its first part.
            on_progress: called with the loaded fraction from 0 to 1; returning False gives up.
            options: see `EmbedderOptions`.

        Raises:
            ModelNotFoundError, InvalidModelError, TruncatedModelError, ModelLoadError: by what is wrong with
                the file; also a `ModelLoadError` where it generates text, for which there is `Engine`.
            ParameterError: an option is unknown or out of range.
        """
        config = _engine.EmbedderConfig(model_path=os.fspath(path), **options)
        self._native = _engine.Embedder(config, on_progress)
        self._delivery = EmbedDelivery(self._native)
        weakref.finalize(self, self._delivery.stop).atexit = False
        close_at_exit(self._delivery)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        model_directory: str | os.PathLike[str] | None = None,
        on_progress: Callable[[float], bool] | None = None,
        **options: Unpack[EmbedderOptions],
    ) -> Self:
        """Load a model by its name, and fetch it where it is not there yet.

        Args:
            name: of the catalog ("minilm"), `hf:org/repo/file.gguf`, a path, or the id of a model in the
                directory.
            model_directory: where models are kept; None: `LLAMAD_MODEL_DIRECTORY`, or else the user's cache.
            on_progress: called with the loaded fraction from 0 to 1; returning False gives up.
            options: see `EmbedderOptions`.

        Raises:
            ModelNotFoundError: nothing has this name.
            PullError: the model could not be fetched.
            ModelError, ParameterError: as for `Embedder` itself.
        """
        return cls(pretrained.resolve(name, model_directory), on_progress=on_progress, **options)

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

    def embed(
        self, inputs: str | Iterable[str | Sequence[int]], *, progress: bool | None = None
    ) -> npt.NDArray[np.float32]:
        """Compute the vectors of one text, or of any number of them; blocks until all are done.

        All of a call are one request, so one bad input refuses the call before anything is computed. Calls of
        several threads share the batches evenly; one that finds the queue full waits. Ctrl-C cancels the
        request and leaves the embedder usable.

        Args:
            inputs: texts; or token ids, taken as they are.
            progress: whether to show a bar; None: where somebody sees it and there is more than one input.

        Returns:
            float32 `[n, n_out]` in the order of the inputs, each row of length 1; of a single text
            `[n_out]`. The engine's own memory: nothing is copied, and it outlives the embedder.

        Raises:
            ContextLengthError: an input is longer than the model's context.
            ParameterError: an input is neither text nor token ids, or has no tokens; or the model is no
                embedding model.
            EngineClosedError: the engine is closed, or was while it worked on this.
            RequestTimeoutError: it took too long.
            GenerationError: the model could not compute it.
        """
        if isinstance(inputs, str):
            row: npt.NDArray[np.float32] = self.embed([inputs], progress=False)[0]
            return row
        import numpy as np  # noqa: PLC0415 - a tenth of a second that only arrays are worth

        texts = checked_inputs(inputs)
        if not texts and self.info.kind == "embed":
            return np.empty((0, self.info.n_out), dtype=np.float32)
        values, _ = self._run(partial(self._native.prepare, texts), len(texts), "text", progress)
        return np.asarray(values)

    def rerank(self, query: str, documents: Iterable[str], *, progress: bool | None = None) -> Ranking:
        """Score documents by how well they answer a query; otherwise as `embed`.

        A model that computes several scores for a document is taken by its first.

        Args:
            query: what the documents are to answer.
            documents: at least one.
            progress: as for `embed`.

        Raises:
            ContextLengthError: the query and a document together are longer than the model's context.
            ParameterError: there is no document, or the model is no reranking model.
            EngineClosedError, RequestTimeoutError, GenerationError: as `embed` does.
        """
        texts = checked_documents(query, documents)
        prepare = partial(self._native.prepare_rerank, query, texts)
        values, n_tokens = self._run(prepare, len(texts), "document", progress)
        return Ranking(tuple(in_a_row(values)[:: self.info.n_out].tolist()), n_tokens)

    def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Turn text into token ids; see `Engine.tokenize`."""
        return self._native.tokenize(text, add_special, parse_special)

    def detokenize(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """Turn token ids into text; see `Engine.detokenize`."""
        return self._native.detokenize(token_ids, special)

    def close(self) -> None:
        """End every request with `EngineClosedError`, stop the threads and free the model; idempotent."""
        self._delivery.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(
        self, prepare: Callable[[], _engine.PreparedEmbedding], n: int, unit: str, progress: bool | None
    ) -> tuple[memoryview[float], tuple[int, ...]]:
        with Progress(progress, n, self.stats, unit=unit, counters=[("prompt_tokens", "tok/s")]) as shown:
            outcome = EmbedCall(self._delivery, prepare).run(shown.interval_s, shown.show)
            shown.show(n)
        return outcome
