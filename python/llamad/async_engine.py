"""`AsyncEngine`: the native engine on an event loop.

It owns the reader of the engine's wake-up descriptor and the map from request id to `TokenStream`.
Everything that crosses to the native side is plain data.
"""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, Unpack

from . import _engine, errors
from .lifetime import close_at_exit
from .sampling import SamplingParams, sampling_params
from .stream import TokenStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from .options import EngineOptions
    from .results import Result

T = TypeVar("T")

_PREPARE_THREADS = 2
"""Templating and tokenizing take 1 to 9 ms and release the GIL; two threads keep them off the loop."""


class EngineProtocol(Protocol):
    """What the server needs of an engine: plain data in, events out."""

    @property
    def info(self) -> _engine.ModelInfo: ...

    async def prepare_chat(
        self, messages_json: str | bytes, params: SamplingParams, *, stream: bool
    ) -> _engine.Prepared: ...

    def submit(self, prepared: _engine.Prepared) -> TokenStream: ...

    def stats(self) -> dict[str, Any]: ...

    async def close(self) -> None: ...


class AsyncEngine:
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
        self._native = native
        self._streams: dict[int, TokenStream] = {}
        self._prepare_pool = ThreadPoolExecutor(_PREPARE_THREADS, thread_name_prefix="llamad-prepare")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(native.fileno(), self._drain)
        self._closing: asyncio.Task[None] | None = None
        close_at_exit(native)

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
        """Counters and gauges of the engine, read without stopping it."""
        return self._native.stats()

    async def prepare(
        self, prompt: str | Sequence[int], params: SamplingParams, *, stream: bool
    ) -> _engine.Prepared:
        """Tokenize and validate a prompt off the loop.

        Args:
            prompt: text, or token ids taken as they are.
            params: how to sample.
            stream: whether deltas are wanted; without them everything comes with the end, which
                costs no wake-ups.

        Raises:
            RequestError: the prompt or a parameter cannot be honoured.
            EngineClosedError: the engine is closed.
        """
        return await self._off_loop(partial(self._native.prepare, prompt, params.native, stream=stream))

    async def prepare_chat(
        self, messages_json: str | bytes, params: SamplingParams, *, stream: bool
    ) -> _engine.Prepared:
        """Apply the model's chat template to a JSON array of messages and tokenize it, off the loop.

        Raises:
            RequestError: the messages, or a parameter, cannot be honoured.
            EngineClosedError: the engine is closed.
        """
        prepare = partial(self._native.prepare_chat, messages_json, params.native, stream=stream)
        return await self._off_loop(prepare)

    def submit(self, prepared: _engine.Prepared) -> TokenStream:
        """Hand a prepared request to the engine; never waits.

        Raises:
            QueueFullError: the bounded queue has no room.
            EngineClosedError: the engine is closed.
        """
        request_id = self._native.submit(prepared)
        stream = self._streams[request_id] = TokenStream(request_id, self._native.cancel)
        return stream

    async def stream(
        self, prompt: str | Sequence[int], params: SamplingParams | None = None, **sampling: Any
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
        return self.submit(await self.prepare(prompt, resolved, stream=True))

    async def generate(
        self, prompt: str | Sequence[int], params: SamplingParams | None = None, **sampling: Any
    ) -> Result:
        """Generate a completion; cancelling the awaiting task cancels the request.

        Raises:
            RequestError: the prompt or a parameter cannot be honoured.
            QueueFullError: the bounded queue has no room.
            EngineClosedError: the engine is closed, or was while it worked on this.
            GenerationError: decoding failed.
        """
        resolved = sampling_params(params, sampling)
        return await self._finish(await self.prepare(prompt, resolved, stream=False))

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        params: SamplingParams | None = None,
        **sampling: Any,
    ) -> Result:
        """Answer a conversation of `{"role": …, "content": …}` messages; raises as `generate` does."""
        resolved = sampling_params(params, sampling)
        body = json.dumps(list(messages))
        return await self._finish(await self.prepare_chat(body, resolved, stream=False))

    async def close(self) -> None:
        """End every request with an error event, stop the engine and free the model; idempotent."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._shut_down())
        # Shielded: who gives up waiting must not leave the engine half closed for the others.
        await asyncio.shield(self._closing)

    async def _shut_down(self) -> None:
        # What is queued there runs still, and learns from the engine that it is closed.
        self._prepare_pool.shutdown(wait=False)
        await asyncio.to_thread(self._native.close)
        self._drain()
        self._loop.remove_reader(self._native.fileno())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _finish(self, prepared: _engine.Prepared) -> Result:
        stream = self.submit(prepared)
        try:
            return await stream.wait()
        finally:
            stream.cancel()

    async def _off_loop(self, function: Callable[[], T]) -> T:
        if self._closing is not None:
            raise errors.EngineClosedError("the engine is closed")
        return await self._loop.run_in_executor(self._prepare_pool, function)

    def _drain(self) -> None:
        for request_id, text, token_ids, finish in self._native.drain():
            stream = self._streams[request_id] if finish is None else self._streams.pop(request_id)
            stream.push(text, token_ids, finish)
