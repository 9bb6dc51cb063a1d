"""Signals against a real process: what was accepted is answered, and the exit is clean."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from .fakes import WAIT_S
from .harness import CHAT, chat_body, events_of, on_loop, raw_request, until

ROOT = Path(__file__).parents[3]


@dataclass
class Process:
    child: asyncio.subprocess.Process
    client: httpx.AsyncClient
    monitor: httpx.AsyncClient

    @property
    def address(self) -> tuple[str, int]:
        return self.client.base_url.host, self.client.base_url.port or 0

    async def exit_code(self) -> int:
        async with asyncio.timeout(WAIT_S):
            return await self.child.wait()

    async def until_ready(self) -> None:
        async def ready() -> bool:
            return (await self.monitor.get("/readyz")).status_code == 200

        await until(ready)

    async def until_draining(self) -> None:
        async def draining() -> bool:
            return (await self.client.post(CHAT, json={})).status_code == 503

        await until(draining)

    async def until_live(self, count: int) -> None:
        async def live() -> bool:
            metrics = (await self.monitor.get("/metrics")).text
            return f"llamad_http_requests_live {count}.0" in metrics

        await until(live)

    def start_stream(self, **fields: Any) -> Stream:
        return Stream(self, fields)


class Stream:
    """A streamed request that runs in the background."""

    def __init__(self, process: Process, fields: dict[str, Any]) -> None:
        self.begun = asyncio.Event()
        self.text = ""
        self._task = asyncio.create_task(self._read(process.client, chat_body(stream=True, **fields)))

    async def _read(self, client: httpx.AsyncClient, body: dict[str, Any]) -> None:
        async with client.stream("POST", CHAT, json=body) as response:
            assert response.status_code == 200
            async for part in response.aiter_text():
                self.text += part
                self.begun.set()

    async def events(self) -> list[Any]:
        async with asyncio.timeout(WAIT_S):
            await self._task
        return events_of(self.text)


async def spawn(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.python.api.fake_server",
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def line_matching(stream: asyncio.StreamReader | None, pattern: str) -> re.Match[str]:
    assert stream is not None
    async with asyncio.timeout(WAIT_S):
        while line := (await stream.readline()).decode():
            if found := re.search(pattern, line):
                return found
    raise AssertionError(f"no line matches {pattern}")


@asynccontextmanager
async def process(lameduck: float, *preload: str) -> AsyncIterator[Process]:
    child = await spawn(str(lameduck), *preload)
    try:
        monitor_url = (await line_matching(child.stdout, r"monitoring on (http://\S+)"))[1]
        url = (await line_matching(child.stdout, r"^llamad: listening on (http://\S+)$"))[1]
        async with (
            httpx.AsyncClient(base_url=url, timeout=WAIT_S, trust_env=False) as client,
            httpx.AsyncClient(base_url=monitor_url, timeout=WAIT_S, trust_env=False) as monitor,
        ):
            yield Process(child, client, monitor)
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.communicate()


@on_loop
async def test_what_was_accepted_is_finished() -> None:
    async with process(30, "tiny") as server:
        await server.until_ready()
        streams = [server.start_stream(max_tokens=100) for _ in range(4)]
        whole = asyncio.create_task(server.client.post(CHAT, json=chat_body(max_tokens=100)))
        for stream in streams:
            async with asyncio.timeout(WAIT_S):
                await stream.begun.wait()
        await server.until_live(5)
        server.child.send_signal(signal.SIGTERM)
        await server.until_draining()
        assert (await server.monitor.get("/readyz")).status_code == 503
        for stream in streams:
            *chunks, sentinel = await stream.events()
            assert sentinel == "[DONE]"
            text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
            assert text == "".join(f"{count} " for count in range(100))
        answer = await whole
        assert answer.json()["usage"]["completion_tokens"] == 100
        assert await server.exit_code() == 0


@on_loop
async def test_what_outlasts_the_lameduck_ends_with_an_error() -> None:
    async with process(0.1) as server:
        stream = server.start_stream()
        await asyncio.wait_for(stream.begun.wait(), WAIT_S)
        whole = asyncio.create_task(server.client.post(CHAT, json=chat_body()))
        await server.until_live(2)
        server.child.send_signal(signal.SIGTERM)
        *_, error = await stream.events()
        assert error["error"]["code"] == "server_stopping"
        answer = await whole
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "server_stopping"
        assert await server.exit_code() == 0


@on_loop
async def test_body_that_never_ends_does_not_hold_up_the_exit() -> None:
    async with process(0) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(raw_request(b"{").replace(b"content-length: 1", b"content-length: 9"))
        await server.until_live(1)
        server.child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert await server.exit_code() == 0


@on_loop
async def test_idle_connection_does_not_hold_up_the_exit() -> None:
    async with process(30) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"200" in await reader.readline()
        server.child.send_signal(signal.SIGINT)
        assert await server.exit_code() == 0
        writer.close()


@on_loop
async def test_client_that_does_not_read_does_not_hold_up_the_exit() -> None:
    async with process(0) as server:
        _, writer = await asyncio.open_connection(*server.address, limit=1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(raw_request(json.dumps(chat_body(stream=True, seed=500_000)).encode()))
        await server.until_live(1)
        await asyncio.sleep(0.3)  # for the buffers between the two to fill
        server.child.send_signal(signal.SIGTERM)
        assert await server.exit_code() == 0
        writer.close()


@on_loop
async def test_second_signal_exits_at_once() -> None:
    async with process(1000) as server:
        stream = server.start_stream()
        await asyncio.wait_for(stream.begun.wait(), WAIT_S)
        server.child.send_signal(signal.SIGTERM)
        await server.until_draining()
        server.child.send_signal(signal.SIGTERM)
        assert await server.exit_code() == 128 + signal.SIGTERM
        with suppress(httpx.HTTPError):
            await stream.events()


@on_loop
async def test_preloading_an_unknown_model_ends_the_start() -> None:
    child = await spawn("1", "huge")
    async with asyncio.timeout(WAIT_S):
        _, err = await child.communicate()
    assert child.returncode == 1
    assert "no model 'huge'" in err.decode()
    assert "Traceback" not in err.decode()


@on_loop
async def test_what_was_accepted_is_finished_where_preloading_fails() -> None:
    async with process(30, "damaged") as server:
        *_, sentinel = await server.start_stream(max_tokens=250).events()  # longer than uvicorn waits
        assert sentinel == "[DONE]"
        assert await server.exit_code() == 1
        await line_matching(server.child.stderr, "llamad: model 'damaged' is cut off")


@on_loop
async def test_start_prints_a_command_to_try() -> None:
    async with process(1) as server:
        command = (await line_matching(server.child.stdout, r"curl .*"))[0]
        assert str(server.client.base_url).rstrip("/") + CHAT in command
        assert '"model": "tiny"' in command
