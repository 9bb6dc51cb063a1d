"""An engine and a model manager without a model: the test decides what they say, and when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from llamad import _engine
from llamad.errors import QueueFullError, UnknownModelError
from llamad.models.manager import ModelEntry
from llamad.request_options import RequestOptions
from llamad.sampling import SamplingParams
from llamad.stream import Signal, TokenStream

WAIT_S = 30.0
"""Generous bound of every wait in these tests; only a failing test comes near it."""


def finish(reason: str, *, prompt: int = 5, completion: int = 0, cached: int = 2, **error: str) -> Any:
    return SimpleNamespace(
        finish_reason=reason,
        stop_string=None,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        queue_s=0.001,
        prefill_s=0.002,
        decode_s=0.003,
        error_kind=error.get("kind", ""),
        error_message=error.get("message", ""),
    )


@dataclass
class FakeEngine:
    """Answers each choice with `texts`; with `texts=None` the test pushes the events itself.

    `prepare_error` and `submit_error` are raised where the real engine would raise them, and
    `prepare_gate` holds every preparation up until it is set.
    """

    texts: list[str] | None = None
    prepare_error: Exception | None = None
    submit_error: Exception | None = None
    prepare_gate: asyncio.Event | None = None
    prepared: list[Any] = field(default_factory=list)
    streams: list[TokenStream] = field(default_factory=list)
    submitted: asyncio.Event = field(default_factory=asyncio.Event)
    preparing: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled_ids: set[int] = field(default_factory=set)
    closed: bool = False

    @property
    def info(self) -> _engine.ModelInfo:
        return cast("_engine.ModelInfo", SimpleNamespace(n_ctx=2048))

    async def prepare_chat(
        self,
        messages_json: str | bytes,
        params: SamplingParams,
        *,
        stream: bool,
        n: int,
        options: RequestOptions,
    ) -> _engine.Prepared:
        self.preparing.set()
        if self.prepare_gate is not None:
            await self.prepare_gate.wait()
        if self.prepare_error is not None:
            raise self.prepare_error
        return cast(
            "_engine.Prepared",
            SimpleNamespace(messages=messages_json, params=params, stream=stream, n=n, options=options),
        )

    def submit_choices(self, prepared: _engine.Prepared) -> list[TokenStream]:
        if self.submit_error is not None:
            raise self.submit_error
        signal = Signal()
        first = len(self.streams)
        streams = [TokenStream(first + index, self._cancel, signal) for index in range(prepared.n)]
        self.prepared.append(prepared)
        self.streams += streams
        self.submitted.set()
        if self.texts is not None:
            for stream in streams:
                self._answer(stream, self.texts)
        return streams

    def _answer(self, stream: TokenStream, texts: list[str]) -> None:
        loop = asyncio.get_running_loop()
        for text in texts:
            loop.call_soon(delta, stream, text)
        loop.call_soon(partial(end, stream, "stop", completion=len(texts)))

    def _cancel(self, request_id: int) -> None:
        self.cancelled.set()
        self.cancelled_ids.add(request_id)
        stream = self.streams[request_id]
        asyncio.get_running_loop().call_soon(self._end_cancelled, stream)

    def _end_cancelled(self, stream: TokenStream) -> None:
        if not stream.finished:
            end(stream, "cancelled")

    def stats(self) -> dict[str, Any]:
        counted = ["prompt", "cached", "copied", "restored", "prefilled", "generated"]
        cache = ["bytes", "disk_bytes", "entries", "evictions"]
        names = [f"{name}_tokens" for name in counted] + [f"prefix_cache_{name}" for name in cache]
        stats: dict[str, Any] = dict.fromkeys([*names, "preemptions", "steps", "decode_calls", "waiting"], 7)
        finished = {f"finished_{reason}": 4 for reason in ("stop", "length", "cancelled", "error")}
        return stats | finished | {"running": 3, "timeouts": 1, "queue_timeouts": 2}

    async def close(self) -> None:
        self.closed = True
        for stream in self.streams:
            if not stream.finished:
                end(stream, "error", kind="engine_closed", message="the engine was closed")


@dataclass
class FakeModels:
    """A model directory of which every model is loaded; `get_gate` holds up the load of the first."""

    served: dict[str, FakeEngine]
    get_gate: asyncio.Event | None = None
    get_error: Exception | None = None
    getting: asyncio.Event = field(default_factory=asyncio.Event)
    loads: int = 0

    def entries(self) -> list[ModelEntry]:
        return [ModelEntry(name, Path(f"{name}.gguf"), 1 << 20, 1700000000, "loaded") for name in self.served]

    def engines(self) -> dict[str, Any]:
        return dict(self.served)

    async def get(self, model_id: str) -> FakeEngine:
        self.loads += 1
        if model_id not in self.served:
            raise UnknownModelError(model_id, list(self.served))
        self.getting.set()
        if self.get_gate is not None:
            await self.get_gate.wait()
        if self.get_error is not None:
            raise self.get_error
        return self.served[model_id]

    async def close(self) -> None:
        for engine in self.served.values():
            await engine.close()


def delta(stream: TokenStream, text: str) -> None:
    """Let one token of a stream arrive."""
    stream.push(text, [1], None, None)


def end(stream: TokenStream, reason: str, **counts: Any) -> None:
    """Let a stream end."""
    stream.push("", [], None, finish(reason, **counts))


def queue_full() -> QueueFullError:
    return QueueFullError("4 requests run and 256 wait; try again later")
