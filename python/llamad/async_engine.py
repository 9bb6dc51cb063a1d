"""`AsyncEngine`: the native engine on an event loop.

It owns the reader of the engine's wake-up descriptor and the map from request id to `TokenStream`.
Everything that crosses to the native side is plain data.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any, Self, Unpack

from . import _engine, request_options
from .choices import Choices, Ranking
from .preparation import Preparation
from .sampling import SamplingParams, sampling_params
from .stream import Signal, TokenStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .options import EngineOptions
    from .request_options import RequestOptions
    from .results import Result


class AsyncEngine(Preparation):
    """A loaded model on the running event loop.

    Use it as an async context manager, or call `close()`. One instance belongs to one loop; the
    model behind it computes on its own thread.

    Example:
        >>> async with await AsyncEngine.load("models/SmolLM2-135M-Instruct.Q4_1.gguf") as engine:
        ...     async with await engine.stream("Once upon a time", max_tokens=32) as stream:
        ...         async for delta in stream:
        ...             print(delta.text, end="")
    """

    def __init__(self, native: _engine.Engine) -> None:
        """Attach a native engine to the running loop; prefer `AsyncEngine.load`."""
        super().__init__(native)
        self._streams: dict[int, TokenStream] = {}

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
            ModelError: the file is missing, damaged or cannot be loaded.
            ParameterError: an option is out of range.
        """
        config = _engine.EngineConfig(model_path=os.fspath(path), **options)
        native = await asyncio.to_thread(_engine.Engine, config, on_progress)
        return cls(native)

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

    def submit(self, prepared: _engine.Prepared) -> TokenStream:
        """Hand a prepared request to the engine; never waits.

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
            TokenStream(request_id, self._native.cancel, signal)
            for request_id in self._native.submit(*prepared)
        ]
        self._streams.update((stream.request_id, stream) for stream in streams)
        return streams

    async def stream(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> TokenStream:
        """Start a generation and return its deltas as an async iterator.

        Leaving the loop early does not cancel the request, since an async iterator is not told: use
        the stream as an async context manager, or call its `cancel()`. Cancelling the task that waits
        for the next delta cancels the request.

        Raises:
            RequestError: the prompt or a parameter cannot be honoured.
            QueueFullError: the bounded queue has no room.
            EngineClosedError: the engine is closed.
        """
        resolved = sampling_params(params, sampling)
        return self.submit(await self.prepare(prompt, resolved, stream=True, options=options))

    async def generate(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> Result:
        """Generate a completion; cancelling the awaiting task cancels the request.

        Raises:
            RequestError: the prompt or a parameter cannot be honoured.
            QueueFullError: the bounded queue has no room.
            EngineClosedError: the engine is closed, or was while it worked on this.
            RequestTimeoutError: it took too long.
            GenerationError: decoding failed.
        """
        resolved = sampling_params(params, sampling)
        prepared = await self.prepare(prompt, resolved, stream=False, options=options)
        return (await self._finish(prepared))[0]

    async def choices(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        n: int,
        best_of: int | None = None,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> list[Result]:
        """Generate several completions of one prompt, which is computed once.

        Args:
            prompt: text, or token ids taken as they are.
            params: how to sample.
            n: how many results, 1 to 128; with a seed, each next completion has the next seed.
            best_of: generate so many (`n` to 128) and return the `n` with the highest mean logprob per
                token, best first; None generates `n` and returns them in order.
            options: priority, time-out and with whom to share.
            sampling: fields of `SamplingParams`, over those of `params`.

        Raises:
            RequestError, QueueFullError, EngineClosedError, RequestTimeoutError, GenerationError: as
                `generate` does; where one completion fails, all are cancelled.
        """
        ranking = Ranking(n, best_of)
        resolved = ranking.params(sampling_params(params, sampling))
        prepared = await self.prepare(prompt, resolved, stream=False, n=ranking.n_generated, options=options)
        return ranking.chosen(await self._finish(prepared))

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        params: SamplingParams | None = None,
        *,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> Result:
        """Answer a conversation of `{"role": …, "content": …}` messages; raises as `generate` does."""
        resolved = sampling_params(params, sampling)
        prepared = await self.prepare_chat(
            json.dumps({"messages": list(messages)}), resolved, stream=False, options=options
        )
        return (await self._finish(prepared))[0]

    async def _finish(self, prepared: _engine.Prepared) -> list[Result]:
        return await Choices(self.submit_choices(prepared)).wait()

    def _drain(self) -> None:
        for request_id, text, token_ids, logprobs, finish in self._native.drain():
            stream = self._streams[request_id] if finish is None else self._streams.pop(request_id)
            stream.push(text, token_ids, logprobs, finish)
