"""`Engine`: the blocking face of the native engine, for notebooks and scripts; needs no event loop."""

from __future__ import annotations

import json
import os
import weakref
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

from . import _engine, request_options
from .batch import Batch
from .choices import Ranking
from .delivery import Delivery
from .lifetime import close_at_exit
from .sampling import SamplingParams, sampling_params

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from .generation import Generation
    from .options import EngineOptions
    from .request_options import RequestOptions
    from .results import Delta, Result


class Engine:
    """A loaded model that answers many prompts at once.

    Every method may be called from any thread. Close it, or use it as a context manager, to free the
    model's memory. One that is dropped without that frees it once what was submitted is over.

    Example:
        >>> with Engine("models/SmolLM2-135M-Instruct.Q4_1.gguf", n_parallel=8) as engine:
        ...     results = engine.generate(["The sky is", "Grass is"], max_tokens=16, temperature=0)
        ...     print([result.text for result in results])
    """

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
                wrong with the file.
            ParameterError: an option is unknown or out of range.
        """
        config = _engine.EngineConfig(model_path=os.fspath(path), **options)
        self._native = _engine.Engine(config, on_progress)
        self._delivery = Delivery(self._native)
        weakref.finalize(self, self._delivery.stop).atexit = False
        close_at_exit(self._delivery)

    @property
    def info(self) -> _engine.ModelInfo:
        """What the model says of itself."""
        return self._native.info

    def stats(self) -> dict[str, Any]:
        """Counters and gauges of the engine, read without stopping it."""
        return self._native.stats()

    def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Turn text into token ids.

        Args:
            text: what to tokenize.
            add_special: add the tokens that the model wants at the beginning (and end).
            parse_special: read text such as "<|im_end|>" as the token it names.
        """
        return self._native.tokenize(text, add_special, parse_special)

    def detokenize(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """Turn token ids into text.

        Args:
            token_ids: ids of the model's vocabulary.
            special: write control tokens out instead of leaving them away.

        Raises:
            ParameterError: an id is not in the vocabulary.
        """
        return self._native.detokenize(token_ids, special)

    @overload
    def generate(
        self,
        prompt: str,
        params: SamplingParams | None = None,
        *,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> Result: ...
    @overload
    def generate(
        self,
        prompt: Sequence[str],
        params: SamplingParams | None = None,
        *,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> list[Result]: ...
    def generate(
        self,
        prompt: str | Sequence[str],
        params: SamplingParams | None = None,
        *,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> Result | list[Result]:
        """Complete one prompt, or many at once; blocks until all are done.

        Ctrl-C cancels everything and leaves the engine usable.

        Args:
            prompt: a text, or any number of them: they share the engine's slots.
            params: how to sample.
            options: priority, time-out and with whom to share.
            sampling: fields of `SamplingParams`, over those of `params`.

        Returns:
            One `Result`, or a list in the order of the prompts.

        Raises:
            RequestError: a prompt or a parameter cannot be honoured; the other prompts are
                cancelled.
            EngineClosedError: the engine is closed.
            RequestTimeoutError: one took too long; those after it are cancelled.
            GenerationError: decoding failed.
            RuntimeError: called from an `on_token` callback, whose thread would wait for itself.
        """
        native, chosen = sampling_params(params, sampling).native, options.native
        if isinstance(prompt, str):
            return self._run([self._native.prepare(prompt, native, **chosen)])[0]
        return self._run(self._native.prepare(text, native, **chosen) for text in prompt)

    def choices(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        n: int,
        best_of: int | None = None,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> list[Result]:
        """Generate several completions of one prompt, which is computed once; blocks until all are done.

        Args:
            prompt: text, or token ids taken as they are.
            params: how to sample.
            n: how many results, 1 to 128; with a seed, each next completion has the next seed.
            best_of: generate so many (`n` to 128) and return the `n` with the highest mean logprob per
                token, best first; None generates `n` and returns them in order.
            options: priority, time-out and with whom to share.
            sampling: fields of `SamplingParams`, over those of `params`.

        Raises:
            RequestError, EngineClosedError, RequestTimeoutError, GenerationError, RuntimeError: as
                `generate` does; where one completion fails, those after it are cancelled.
        """
        ranking = Ranking(n, best_of)
        native = ranking.params(sampling_params(params, sampling)).native
        prepared = self._native.prepare(prompt, native, n=ranking.n_generated, **options.native)
        return ranking.chosen(self._run([prepared]))

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        params: SamplingParams | None = None,
        *,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> Result:
        """Answer a conversation through the model's chat template; blocks until it is done.

        Args:
            messages: `{"role": "system" | "user" | "assistant", "content": text}` each.
            params: how to sample.
            options: priority, time-out and with whom to share.
            sampling: fields of `SamplingParams`, over those of `params`.

        Raises:
            TemplateError: the messages do not fit the model's template.
            RequestError, EngineClosedError, RequestTimeoutError, GenerationError, RuntimeError: as
                `generate` does.
        """
        native = sampling_params(params, sampling).native
        body = json.dumps({"messages": list(messages)})
        return self._run([self._native.prepare_chat(body, native, **options.native)])[0]

    def stream(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> Iterator[Delta]:
        """Start a generation and iterate over its deltas; leaving the loop early cancels it."""
        return iter(self.submit(prompt, params, options=options, **sampling))

    def submit(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        on_token: Callable[[Delta], object] | None = None,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> Generation:
        """Start a generation in the background.

        Args:
            prompt: text, or token ids taken as they are.
            params: how to sample.
            on_token: called with each `Delta` on the draining thread; it slows down other deliveries
                while it runs, never the engine. If it raises, the request is cancelled and
                `result()` raises the same. It may submit and cancel requests, but wait for none.
            options: priority, time-out and with whom to share.
            sampling: fields of `SamplingParams`, over those of `params`.

        Raises:
            RequestError: the prompt or a parameter cannot be honoured.
            QueueFullError: the bounded queue has no room.
            EngineClosedError: the engine is closed.
        """
        native = sampling_params(params, sampling).native
        prepared = self._native.prepare(prompt, native, stream=True, **options.native)
        return self._delivery.submit(prepared, self, on_token)[0]

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

    def _run(self, requests: Iterable[_engine.Prepared]) -> list[Result]:
        self._delivery.refuse_own_thread()
        return Batch(self._delivery, requests, self).run()
