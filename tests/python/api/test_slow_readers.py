"""A client that does not read loses its connection, and nobody else notices."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import pytest
from llamad.server.connection import Connection
from llamad.server.slow_readers import ReadLimits, SlowReaders
from llamad.server.state import ServerState

from .fake_models import FakeModels
from .fakes import WAIT_S, FakeEngine, delta, end
from .harness import CHAT, Served, chat_body, events_of, on_loop, raw_request, serving, until, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STALL_S = 60.0
PIECE = "x" * 100_000


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Guard:
    """A `SlowReaders` that looks when the test says so."""

    def __init__(self, served: Served, unread_bytes: int) -> None:
        self._served = served
        self._clock = Clock()
        self._readers = SlowReaders(served.state, ReadLimits(unread_bytes, STALL_S), self._clock)

    def look(self, *, after_s: float = 0) -> None:
        self._clock.now += after_s
        self._readers.check(self._served.listener.connections)


@asynccontextmanager
async def silent_client(served: Served, *headers: str, **fields: object) -> AsyncIterator[socket.socket]:
    """Ask over a socket that takes in as little as it can, and read nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, served.address)
        await loop.sock_sendall(client, raw_request(orjson.dumps(chat_body(**fields)), *headers))
        yield client


def unsent(served: Served) -> int:
    return sum(connection.unsent_bytes for connection in served.listener.connections)


async def fill(served: Served, index: int = 0) -> None:
    """Generate until the kernel takes no more of it, and uvicorn has paused the response."""
    stream = served.engine.streams[index]
    async with asyncio.timeout(WAIT_S):
        while stream.unread_bytes == 0 or not any(one.backed_up for one in served.listener.connections):
            delta(stream, PIECE)
            await asyncio.sleep(0.01)


@on_loop
async def test_unread_text_is_bounded() -> None:
    async with serving(FakeEngine()) as served, silent_client(served, stream=True):
        guard = Guard(served, unread_bytes=5 * len(PIECE))
        await wait_for(served.engine.submitted)
        await fill(served)
        guard.look()
        assert not served.engine.cancelled.is_set()
        for _ in range(5):
            delta(served.engine.streams[0], PIECE)
        guard.look()
        await wait_for(served.engine.cancelled)
        assert await served.state.wait_idle(WAIT_S)
        assert served.state.slow_readers == {"unread": 1}
        assert served.state.answered == {499: 1}
        await until(lambda: not served.listener.connections)


@on_loop
async def test_a_stalled_stream_is_cancelled() -> None:
    async with serving(FakeEngine()) as served, silent_client(served, stream=True):
        guard = Guard(served, unread_bytes=1 << 30)
        await wait_for(served.engine.submitted)
        await fill(served)
        guard.look()
        guard.look(after_s=STALL_S - 1)
        assert not served.engine.cancelled.is_set()
        guard.look(after_s=1)
        await wait_for(served.engine.cancelled)
        assert await served.state.wait_idle(WAIT_S)
        assert served.state.slow_readers == {"stalled": 1}


@on_loop
async def test_an_answer_that_nobody_fetches_does_not_keep_its_socket() -> None:
    """The request is over and only the last of its bytes are left: nothing but the guard ends that."""
    async with serving(FakeEngine()) as served, silent_client(served, stream=True):
        guard = Guard(served, unread_bytes=1 << 30)
        await wait_for(served.engine.submitted)
        async with asyncio.timeout(WAIT_S):
            while unsent(served) == 0:
                delta(served.engine.streams[0], PIECE[:30_000])  # less than what pauses a response
                await asyncio.sleep(0.001)
        end(served.engine.streams[0], "stop")
        assert await served.state.wait_idle(WAIT_S)
        assert served.state.answered == {200: 1}
        assert unsent(served) > 0
        guard.look()
        guard.look(after_s=STALL_S)
        await until(lambda: not served.listener.connections)
        assert served.state.slow_readers == {"stalled": 1}


@on_loop
async def test_who_reads_slowly_but_reads_is_served() -> None:
    async with serving(FakeEngine()) as served, silent_client(served, stream=True) as client:
        guard = Guard(served, unread_bytes=1 << 30)
        await wait_for(served.engine.submitted)
        await fill(served)
        for _ in range(40):
            delta(served.engine.streams[0], PIECE)
        guard.look()
        received = b""
        for _ in range(3):
            before = unsent(served)
            async with asyncio.timeout(WAIT_S):
                while unsent(served) == before:
                    received += await asyncio.get_running_loop().sock_recv(client, 1 << 16)
            guard.look(after_s=STALL_S - 1)
        end(served.engine.streams[0], "stop")
        async with asyncio.timeout(WAIT_S):
            while not received.endswith(b"0\r\n\r\n"):
                received += await asyncio.get_running_loop().sock_recv(client, 1 << 20)
        assert not served.state.slow_readers
        assert served.state.answered == {200: 1}


@on_loop
async def test_neighbours_do_not_notice() -> None:
    async with serving(FakeEngine()) as served, silent_client(served, stream=True):
        guard = Guard(served, unread_bytes=len(PIECE) // 2)
        await wait_for(served.engine.submitted)
        neighbour = asyncio.create_task(served.post(stream=True))
        await until(lambda: len(served.engine.streams) == 2)
        await fill(served)
        delta(served.engine.streams[1], "still ")
        guard.look()
        await until(lambda: served.engine.streams[0].finished)
        delta(served.engine.streams[1], "here")
        end(served.engine.streams[1], "stop", completion=2)
        *chunks, sentinel = events_of((await neighbour).text)
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
        assert (text, sentinel) == ("still here", "[DONE]")
        assert served.engine.cancelled_ids == {0}


def test_one_line_says_why(caplog: pytest.LogCaptureFixture) -> None:
    @on_loop
    async def scenario() -> None:
        async with (
            serving(FakeEngine()) as served,
            silent_client(served, "x-request-id: find-me", stream=True),
        ):
            await wait_for(served.engine.submitted)
            await fill(served)
            unread.append(served.engine.streams[0].unread_bytes)
            guard = Guard(served, unread_bytes=1000)
            guard.look()
            guard.look(after_s=STALL_S)  # before the loop could close it
            assert served.state.slow_readers == {"unread": 1}
            await wait_for(served.engine.cancelled)

    unread: list[int] = []
    scenario()
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    line = record.getMessage()
    assert "find-me" in line
    assert f"{unread[0]} bytes of text wait to be read" in line


@pytest.mark.parametrize("stream", [True, False])
@on_loop
async def test_who_has_read_everything_is_not_blamed_for_what_has_just_come(stream: bool) -> None:
    async with serving(FakeEngine()) as served:
        guard = Guard(served, unread_bytes=1000)
        asking = asyncio.create_task(served.post(stream=stream))
        await wait_for(served.engine.submitted)
        delta(served.engine.streams[0], "x" * 2000)
        assert served.engine.streams[0].unread_bytes == 2000
        guard.look()  # before the handler could pass it on
        end(served.engine.streams[0], "stop")
        assert "x" * 2000 in (await asking).text
        assert not served.state.slow_readers


def test_a_look_that_fails_is_logged_and_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    @on_loop
    async def scenario() -> None:
        looked = asyncio.Event()
        failures = [RuntimeError("this once")]

        def connections() -> list[Connection]:
            if failures:
                raise failures.pop()
            looked.set()
            return []

        readers = SlowReaders(ServerState(FakeModels({}), max_body_bytes=1), ReadLimits(1, stall_s=0.01))
        watching = asyncio.create_task(readers.run(connections))
        await wait_for(looked)
        watching.cancel()

    scenario()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "this once"


@on_loop
async def test_idle_connections_are_left_alone() -> None:
    async with serving() as served:
        guard = Guard(served, unread_bytes=1)
        assert (await served.client.post(CHAT, json=chat_body())).status_code == 200
        guard.look()
        guard.look(after_s=10 * STALL_S)
        assert len(served.listener.connections) == 1
        assert not served.state.slow_readers
