"""`LoadedEngine`: a loaded model, the threads around it and its requests; the ground of `Engine`."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from .. import _engine, pretrained
from ..described import shown
from ..errors import ParameterError
from ..jobs.inputs import check_text
from ..lifetime import Uncopyable, close_at_exit
from ..results import Result
from .batch import Batch
from .delivery import Delivery
from .generation import Generation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from ..jobs import Job
    from ..options import EngineOptions

R = TypeVar("R", bound=Result)


class LoadedEngine(Uncopyable):
    """A loaded model that tells of itself, counts tokens, and can be closed."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        on_progress: Callable[[float], bool] | None = None,
        **options: Unpack[EngineOptions],
    ) -> None:
        """Load a model; blocks until it is ready.

        Args:
            path: the GGUF file; of a split model, its first part.
            on_progress: called with the loaded fraction from 0 to 1; returning False gives up.
            options: see `EngineOptions`.

        Raises:
            ModelNotFoundError, InvalidModelError, TruncatedModelError, ModelLoadError: by what is
                wrong with the file; also a `ModelLoadError` where it computes embeddings, for which there
                is `Embedder`.
            ParameterError: an option is unknown or out of range.
        """
        config = _engine.EngineConfig(model_path=os.fspath(path), **options)
        self._native = _engine.Engine(config, on_progress)
        self._delivery = Delivery(self._native)
        weakref.finalize(self, self._delivery.stop).atexit = False
        close_at_exit(self._delivery)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        model_directory: str | os.PathLike[str] | None = None,
        on_progress: Callable[[float], bool] | None = None,
        **options: Unpack[EngineOptions],
    ) -> Self:
        """Load a model by its name, and fetch it where it is not there yet.

        Args:
            name: of the catalog ("smollm2"), `hf:org/repo/file.gguf`, a path, or the id of a model in the
                directory.
            model_directory: where models are kept; None: `LLAMAD_MODEL_DIRECTORY`, or else the user's cache.
            on_progress: called with the loaded fraction from 0 to 1; returning False gives up.
            options: see `EngineOptions`.

        Raises:
            ModelNotFoundError: nothing has this name.
            PullError: the model could not be fetched.
            ModelError, ParameterError: as for `Engine` itself.
        """
        return cls(pretrained.resolve(name, model_directory), on_progress=on_progress, **options)

    @property
    def info(self) -> _engine.ModelInfo:
        """What the model says of itself."""
        return self._native.info

    def stats(self) -> dict[str, Any]:
        """Counters and gauges of the engine, read without stopping it; see `AsyncEngine.stats`."""
        return self._native.stats()

    def slots(self) -> list[dict[str, Any]]:
        """What each slot is doing, read without stopping the engine; see `AsyncEngine.slots`."""
        return self._native.slots()

    def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Turn text into token ids.

        Args:
            text: what to tokenize.
            add_special: add the tokens that the model wants at the beginning (and end).
            parse_special: read text such as ``<|im_end|>`` as the token it names.

        Raises:
            ParameterError: it is no text, or holds half a surrogate pair.
        """
        return self._native.tokenize(check_text("text", text), add_special, parse_special)

    def detokenize(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """Turn token ids into text.

        Args:
            token_ids: ids of the model's vocabulary.
            special: write control tokens out instead of leaving them away.

        Raises:
            ParameterError: an id is not in the vocabulary.
        """
        return self._native.detokenize(token_ids, special)

    def __repr__(self) -> str:
        info = self.info
        return shown(self, info, f"{info.n_parallel} slots of {info.n_ctx} tokens")

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

    def _batch(self, jobs: Iterable[Job[R]], n_total: int | None) -> Batch[R]:
        return Batch(jobs, self._delivery, self, n_total)

    def _submit(self, job: Job[R], on_token: Callable[[Any], object] | None) -> Generation[Any, R]:
        if on_token is not None and not callable(on_token):
            raise ParameterError(f"on_token must be a function, got {on_token!r}", param="on_token")
        prepared = job.prepare(self._native, stream=True)
        make_delta = job.delta_maker(prepared)
        refuse_to_wait = self._delivery.refuse_to_wait

        def make(request_id: int, cancel: Callable[[int], None]) -> Generation[Any, R]:
            return Generation(
                request_id,
                cancel,
                make_delta=make_delta,
                complete=lambda result: job.finish(result, prepared),
                refuse_to_wait=refuse_to_wait,
                on_token=on_token,
            )

        return self._delivery.submit(prepared, self, make)
