"""`Engine`: the blocking face of the native engine, for notebooks and scripts; needs no event loop."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

from . import _engine, errors
from .generation import Generation
from .lifetime import close_at_exit
from .sampling import SamplingParams, sampling_params

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from .options import EngineOptions
    from .results import Delta, Result

_ROOM_POLL_S = 0.1
"""How often a full queue is tried again; normally the end of a request wakes the waiter first."""


class Engine:
    """A loaded model that answers many prompts at once.

    Every method may be called from any thread. Close it, or use it as a context manager, to free the
    model's memory.

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
        self._generations: dict[int, Generation] = {}
        self._lock = threading.Lock()  # submission and registration are one step to the draining thread
        self._some_finished = threading.Condition()
        self._stopped = False
        self._drainer = threading.Thread(target=self._drain_until_stopped, name="llamad-drain", daemon=True)
        self._drainer.start()
        close_at_exit(self)

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
    def generate(self, prompt: str, params: SamplingParams | None = None, **sampling: Any) -> Result: ...
    @overload
    def generate(
        self, prompt: Sequence[str], params: SamplingParams | None = None, **sampling: Any
    ) -> list[Result]: ...
    def generate(
        self, prompt: str | Sequence[str], params: SamplingParams | None = None, **sampling: Any
    ) -> Result | list[Result]:
        """Complete one prompt, or many at once; blocks until all are done.

        Ctrl-C cancels everything and leaves the engine usable.

        Args:
            prompt: a text, or any number of them: they share the engine's slots.
            params: how to sample.
            sampling: fields of `SamplingParams`, over those of `params`.

        Returns:
            One `Result`, or a list in the order of the prompts.

        Raises:
            RequestError: a prompt or a parameter cannot be honoured; the other prompts are
                cancelled.
            EngineClosedError: the engine is closed.
            GenerationError: decoding failed.
        """
        native = sampling_params(params, sampling).native
        if isinstance(prompt, str):
            return self._run([self._native.prepare(prompt, native)])[0]
        return self._run(self._native.prepare(text, native) for text in prompt)

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        params: SamplingParams | None = None,
        **sampling: Any,
    ) -> Result:
        """Answer a conversation through the model's chat template; blocks until it is done.

        Args:
            messages: `{"role": "system" | "user" | "assistant", "content": text}` each.
            params: how to sample.
            sampling: fields of `SamplingParams`, over those of `params`.

        Raises:
            TemplateError: the messages do not fit the model's template.
            RequestError, EngineClosedError, GenerationError: as `generate` does.
        """
        native = sampling_params(params, sampling).native
        return self._run([self._native.prepare_chat(json.dumps(list(messages)), native)])[0]

    def stream(
        self, prompt: str | Sequence[int], params: SamplingParams | None = None, **sampling: Any
    ) -> Iterator[Delta]:
        """Start a generation and iterate over its deltas; leaving the loop early cancels it."""
        return iter(self.submit(prompt, params, **sampling))

    def submit(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        on_token: Callable[[Delta], object] | None = None,
        **sampling: Any,
    ) -> Generation:
        """Start a generation in the background.

        Args:
            prompt: text, or token ids taken as they are.
            params: how to sample.
            on_token: called with each `Delta` on the draining thread; it slows down other deliveries
                while it runs, never the engine. If it raises, the request is cancelled and
                `result()` raises the same.
            sampling: fields of `SamplingParams`, over those of `params`.

        Raises:
            RequestError: the prompt or a parameter cannot be honoured.
            QueueFullError: the bounded queue has no room.
            EngineClosedError: the engine is closed.
        """
        native = sampling_params(params, sampling).native
        return self._submit(self._native.prepare(prompt, native, stream=True), on_token)

    def close(self) -> None:
        """End every request with `EngineClosedError`, stop the threads and free the model; idempotent."""
        self._native.close()
        self._stopped = True
        self._native.wake()
        if threading.current_thread() is not self._drainer:
            self._drainer.join()

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
        generations: list[Generation] = []
        try:
            for prepared in requests:
                # Not a comprehension: what has been submitted when one fails must be cancelled.
                generations.append(self._submit_when_room(prepared))  # noqa: PERF401
            return [generation.result() for generation in generations]
        except BaseException:  # KeyboardInterrupt above all
            for generation in generations:
                generation.cancel()
            for generation in generations:
                generation.wait()
            raise

    def _submit(
        self, prepared: _engine.Prepared, on_token: Callable[[Delta], object] | None = None
    ) -> Generation:
        with self._lock:
            request_id = self._native.submit(prepared)
            generation = Generation(request_id, self._native.cancel, on_token)
            self._generations[request_id] = generation
        return generation

    def _submit_when_room(self, prepared: _engine.Prepared) -> Generation:
        while True:
            try:
                return self._submit(prepared)
            except errors.QueueFullError:
                with self._some_finished:
                    self._some_finished.wait(_ROOM_POLL_S)

    def _drain_until_stopped(self) -> None:
        while not self._stopped:
            self._native.wait(60.0)
            self._drain()
        self._drain()

    def _drain(self) -> None:
        for request_id, text, token_ids, finish in self._native.drain():
            with self._lock:
                generation = self._generations[request_id]
                if finish is not None:
                    del self._generations[request_id]
            generation.push(text, token_ids, finish)
            if finish is not None:
                with self._some_finished:
                    self._some_finished.notify_all()
