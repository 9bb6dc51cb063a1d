"""A real server on a real socket around the fakes."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec

import httpx
import orjson
import uvloop
from llamad.server.app import make_api
from llamad.server.connection import ConnectionLimits
from llamad.server.gate import Gate
from llamad.server.listener import Listener
from llamad.server.monitor import make_monitor
from llamad.server.state import ServerState
from llamad.settings import Settings

from .fake_models import FakeModels
from .fakes import WAIT_S, FakeEngine

P = ParamSpec("P")

_POLL_S = 0.01
CHAT = "/v1/chat/completions"


def on_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an async test on the loop that the server uses, for at most a bounded time."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(3 * WAIT_S):
                await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(bounded())

    return wrapper


@dataclass
class Served:
    engine: FakeEngine
    models: FakeModels
    state: ServerState
    client: httpx.AsyncClient
    listener: Listener

    @property
    def address(self) -> tuple[str, int]:
        return self.listener.address

    async def post(self, **fields: Any) -> httpx.Response:
        return await self.client.post(CHAT, json=chat_body(**fields))


@asynccontextmanager
async def serving(
    engine: FakeEngine | None = None,
    *,
    max_body_bytes: int = 1 << 20,
    read_timeout_s: float = WAIT_S,
    trust_request_chat_template: bool = False,
    settings: Settings | None = None,
    models: Sequence[str] = ("tiny",),
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Served]:
    engine = engine or FakeEngine(texts=["Hel", "lo"])
    settings = settings or Settings()
    served = FakeModels(dict.fromkeys(models, engine))
    state = ServerState(
        served,
        Gate(settings, clock),
        max_body_bytes=max_body_bytes,
        read_timeout_s=read_timeout_s,
        trust_request_chat_template=trust_request_chat_template,
    )
    application, edge = make_api(state)
    await application.start()
    limits = ConnectionLimits(
        settings.max_connections, settings.header_timeout, settings.max_header_kib << 10
    )
    async with (
        Listener(
            edge,
            "127.0.0.1",
            0,
            limits=limits,
            tls=state.gate.tls,
            refusals=state.refused_connections,
        ) as listener,
        client_of(listener) as client,
    ):
        yield Served(engine, served, state, client, listener)


@asynccontextmanager
async def monitoring(state: ServerState) -> AsyncIterator[httpx.AsyncClient]:
    application = make_monitor(state)
    await application.start()
    async with Listener(application, "127.0.0.1", 0) as listener, client_of(listener) as client:
        yield client


def client_of(listener: Listener) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=listener.url, timeout=WAIT_S, trust_env=False)


def chat_body(**fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]} | fields


def events_of(text: str) -> list[Any]:
    """Parse server-sent events; the sentinel stays the string `[DONE]`."""
    assert text.endswith("\n\n")
    events = text.split("\n\n")[:-1]
    assert all(event.startswith("data: ") for event in events)
    payloads = [event.removeprefix("data: ") for event in events]
    return [payload if payload == "[DONE]" else orjson.loads(payload) for payload in payloads]


def raw_request(body: bytes, *headers: str) -> bytes:
    head = [f"POST {CHAT} HTTP/1.1", "host: localhost", "content-type: application/json"]
    head += [f"content-length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def until(condition: Callable[[], Awaitable[bool] | bool]) -> None:
    """Wait until something becomes true that nobody signals."""
    for _ in range(int(WAIT_S / _POLL_S)):
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        await asyncio.sleep(_POLL_S)
    raise AssertionError("it did not become true in time")


async def wait_for(event: asyncio.Event) -> None:
    async with asyncio.timeout(WAIT_S):
        await event.wait()
