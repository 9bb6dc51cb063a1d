"""SIGTERM under load: what was accepted is answered, and the process ends cleanly."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.python.support.server_process import ONE_THREAD, ServerProcess, get, serving, wait_until
from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletionChunk

pytestmark = pytest.mark.timeout(300)

Starter = Callable[..., ServerProcess]
"""Takes the model directory and flags."""

HELLO: Any = [{"role": "user", "content": "hello"}]
ENDLESS = ("--n-parallel", "2", "--n-ctx", str(ENDLESS_N_CTX), *ONE_THREAD)


@pytest.fixture
def server_of(tmp_path: Path) -> Iterator[Starter]:
    """Start servers that the test itself ends."""
    started: list[ServerProcess] = []

    def start(directory: Path, *flags: str) -> ServerProcess:
        started.append(ServerProcess(directory, tmp_path / f"server{len(started)}.log", *flags))
        return started[-1]

    yield start
    for server in started:
        server.close()


async def start_stream(client: AsyncOpenAI, model: str, **fields: Any) -> AsyncIterator[ChatCompletionChunk]:
    """Return once the request has been accepted."""
    stream = await client.chat.completions.create(
        model=model, messages=HELLO, stream=True, extra_body={"ignore_eos": True}, **fields
    )
    return aiter(stream)


async def read_to_end(stream: AsyncIterator[ChatCompletionChunk]) -> tuple[str | None, int]:
    """Return the finish reason and the token count."""
    finish_reason, tokens = None, 0
    async for chunk in stream:
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
        for choice in chunk.choices:
            finish_reason = choice.finish_reason or finish_reason
    return finish_reason, tokens


def test_no_accepted_request_is_lost(tiny_model: Path, server_of: Starter) -> None:
    async def load_and_terminate(server: ServerProcess) -> list[tuple[str | None, int]]:
        fields = {"max_tokens": 300, "stream_options": {"include_usage": True}}
        async with server.async_client() as client:
            streams = [await start_stream(client, "tiny", **fields) for _ in range(12)]
            server.signal(signal.SIGTERM)
            return await asyncio.gather(*(read_to_end(stream) for stream in streams))

    # Two slots for twelve requests: most of them are still queued when the signal comes.
    server = server_of(tiny_model.parent, "--n-parallel", "2", "--n-ctx", "512", *ONE_THREAD)
    assert asyncio.run(load_and_terminate(server)) == [("length", 300)] * 12
    assert server.wait() == 0


def test_new_requests_are_refused_while_draining(endless_model: Path, server_of: Starter) -> None:
    server = server_of(endless_model.parent, "--lameduck", "300", *ENDLESS)

    def not_ready() -> bool:
        return get(f"{server.monitor_url}/readyz")[0] == 503

    async def refuse() -> None:
        async with server.async_client() as client:
            running = await start_stream(client, "endless")
            server.signal(signal.SIGTERM)
            await asyncio.to_thread(wait_until, not_ready, "draining")
            with pytest.raises(openai.InternalServerError) as caught:
                await client.chat.completions.create(model="endless", messages=HELLO, max_tokens=4)
            assert caught.value.status_code == 503
            await anext(running)

    asyncio.run(refuse())


def test_lameduck_ends_what_does_not_end_by_itself(endless_model: Path, server_of: Starter) -> None:
    async def wait_for_error(server: ServerProcess) -> None:
        async with server.async_client() as client:
            stream = await start_stream(client, "endless")
            await anext(stream)
            server.signal(signal.SIGTERM)
            with pytest.raises(openai.APIError, match="shutting down"):
                await read_to_end(stream)

    server = server_of(endless_model.parent, "--lameduck", "0.5", *ENDLESS)
    asyncio.run(wait_for_error(server))
    assert server.wait() == 0


def test_a_second_signal_exits_at_once(endless_model: Path, server_of: Starter) -> None:
    async def signal_twice(server: ServerProcess) -> int:
        async with server.async_client() as client:
            await anext(await start_stream(client, "endless"))
            server.signal(signal.SIGTERM)
            await asyncio.to_thread(wait_until, lambda: "second signal" in server.log, "first signal")
            server.signal(signal.SIGTERM)
            return await asyncio.to_thread(server.wait)

    # Far above the bound of `wait`: the drain cannot be what ends it.
    server = server_of(endless_model.parent, "--lameduck", "3600", *ENDLESS)
    assert asyncio.run(signal_twice(server)) == 128 + signal.SIGTERM


def test_healthz_answers_under_load(tiny_model: Path, tmp_path: Path) -> None:
    async def ask_while_busy(server: ServerProcess) -> None:
        async with server.async_client() as client:
            streams = [await start_stream(client, "tiny", max_tokens=300) for _ in range(16)]
            for root in (server.url, server.monitor_url) * 10:
                assert (await asyncio.to_thread(get, f"{root}/healthz"))[0] == 200
            for stream in streams:
                assert (await read_to_end(stream))[0] == "length"

    with serving(
        tiny_model.parent, "--n-ctx", "512", *ONE_THREAD, log_path=tmp_path / "server.log"
    ) as server:
        asyncio.run(ask_while_busy(server))
