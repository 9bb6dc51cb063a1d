"""An engine without a model: the test decides what it says, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from llamad import _engine
from llamad.aio.stream import Signal, TokenStream
from llamad.errors import QueueFullError
from llamad.request_options import RequestOptions
from llamad.sampling import SamplingParams

from tests.python.support.fake_loader import memory

WAIT_S = 30.0
"""Generous bound of every wait in these tests; only a failing test comes near it."""

PROMPT = [3, 1, 4, 1, 5]
"""The tokens of every prompt."""


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
        prompt_logprobs=None,
        error_kind=error.get("kind", ""),
        error_message=error.get("message", ""),
    )


class LineParser:
    """A parser of lines: `r TEXT` is reasoning, `c TEXT` content, `t INDEX NAME ARGUMENTS` begins a call.

    `a INDEX ARGUMENTS` goes on with the arguments of one. A line is held back until it is whole.
    """

    def __init__(self) -> None:
        self._open = ""

    def feed(self, text: str) -> list[Any]:
        *lines, self._open = (self._open + text).split("\n")
        return [self._event(line) for line in lines]

    def finish(self) -> list[Any]:
        held, self._open = self._open, ""
        return [self._event(held)] if held else []

    def _event(self, line: str) -> Any:
        kind, rest = line.split(" ", 1)
        if kind in "rc":
            return ({"r": "reasoning", "c": "content"}[kind], rest)
        if kind == "a":
            index, arguments = rest.split(" ", 1)
            return ("tool_call", int(index), "", arguments)
        index, name, arguments = rest.split(" ", 2)
        return ("tool_call", int(index), name, arguments)


@dataclass
class FakeEngine:
    """Answers each choice with `texts`; with `texts=None` the test pushes the events itself.

    `prepare_error` and `submit_error` are raised where the real engine would raise them, and
    `prepare_gate` holds every preparation up until it is set. `new_parser` makes the parser of each
    choice.
    """

    texts: list[str] | None = None
    new_parser: Callable[[], LineParser | None] = lambda: None
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
    busy_s: float = 0.0

    @property
    def info(self) -> _engine.ModelInfo:
        able = dict.fromkeys(("has_chat_template", "has_tools_template", "can_infill"), True)
        described = {"architecture": "llama", "n_params": 1000, "quantization": "Q4_1", "n_ctx_train": 4096}
        info = SimpleNamespace(
            n_ctx=2048, thinks=False, memory=[memory("CPU", 1 << 20, layers=3)], **able, **described
        )
        return cast("_engine.ModelInfo", info)

    async def prepare(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams,
        *,
        stream: bool,
        n: int,
        options: RequestOptions,
    ) -> _engine.Prepared:
        return await self._prepare(prompt=prompt, params=params, stream=stream, n=n, options=options)

    async def prepare_chat(
        self,
        conversation_json: str | bytes,
        params: SamplingParams,
        *,
        stream: bool,
        n: int,
        options: RequestOptions,
    ) -> _engine.Prepared:
        return await self._prepare(
            conversation=conversation_json, params=params, stream=stream, n=n, options=options
        )

    async def prepare_infill(
        self,
        prefix: str,
        suffix: str,
        params: SamplingParams,
        *,
        stream: bool,
        n: int,
        options: RequestOptions,
    ) -> _engine.Prepared:
        return await self._prepare(
            prefix=prefix, suffix=suffix, params=params, stream=stream, n=n, options=options
        )

    async def _prepare(self, **prepared: Any) -> _engine.Prepared:
        self.preparing.set()
        if self.prepare_gate is not None:
            await self.prepare_gate.wait()
        if self.prepare_error is not None:
            raise self.prepare_error
        return cast(
            "_engine.Prepared",
            SimpleNamespace(
                **prepared, prompt_token_ids=PROMPT, n_prompt_tokens=len(PROMPT), parser=self.new_parser
            ),
        )

    async def apply_template(self, conversation_json: str | bytes) -> str:
        return f"<{cast('bytes', conversation_json).decode()}>"

    async def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        return list(text.encode())

    async def detokenize(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        return bytes(token_ids).decode()

    def token_pieces(self, token_ids: Sequence[int]) -> list[bytes]:
        return [bytes([token_id]) for token_id in token_ids]

    def submit_choices(self, *prepared: _engine.Prepared) -> list[TokenStream]:
        if self.submit_error is not None:
            raise self.submit_error
        signal = Signal()
        ids = range(len(self.streams), len(self.streams) + sum(one.n for one in prepared))
        streams = [TokenStream(request_id, self._cancel, signal) for request_id in ids]
        self.prepared += prepared
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
            end(stream, "cancelled", completion=stream.n_generated)

    def stats(self) -> dict[str, Any]:
        counted = ["prompt", "cached", "copied", "restored", "prefilled", "generated"]
        cache = ["bytes", "disk_bytes", "entries", "evictions"]
        names = [f"{name}_tokens" for name in counted] + [f"prefix_cache_{name}" for name in cache]
        stats: dict[str, Any] = dict.fromkeys([*names, "preemptions", "decode_calls", "waiting"], 7)
        finished = {f"finished_{reason}": 4 for reason in ("stop", "length", "cancelled", "error")}
        stats |= {"running": 3, "timeouts": 1, "queue_timeouts": 2, "rejected": 5, "slots": 4}
        stats |= {"kv_cells": 200, "kv_cells_used": 50, "kv_cells_held": 80, "busy_s": self.busy_s}
        return stats | finished | {"histograms": {"ttft_s": ((0.1, 1.0), [2, 3, 4], 6.5)}}

    def slots(self) -> list[dict[str, Any]]:
        return [{"id": 0, "state": "decode", "request_id": 9, "n_generated": 2}]

    async def close(self) -> None:
        self.closed = True
        for stream in self.streams:
            if not stream.finished:
                end(stream, "error", kind="engine_closed", message="the engine was closed")


def delta(stream: TokenStream, text: str) -> None:
    """Let one token of a stream arrive."""
    stream.push(text, [1], None, None)


def end(stream: TokenStream, reason: str, **counts: Any) -> None:
    """Let a stream end."""
    stream.push("", [], None, finish(reason, **counts))


def queue_full() -> QueueFullError:
    return QueueFullError("4 requests run and 256 wait; try again later")
