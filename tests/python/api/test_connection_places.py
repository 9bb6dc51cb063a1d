"""How many clients may be connected at once, and who makes room for whom."""

from __future__ import annotations

import asyncio
import resource

import pytest
from llamad.server.open_files import make_room_for
from llamad.settings import Settings

from .fakes import FakeEngine, end
from .harness import on_loop, serving, until, wait_for
from .raw_client import HEALTHZ, connected


@on_loop
async def test_more_connections_than_allowed() -> None:
    async with serving(FakeEngine(), settings=Settings(max_connections=3)) as served:
        busy = [asyncio.create_task(served.post()) for _ in range(3)]
        await until(lambda: len(served.engine.streams) == 3)
        for _ in range(3):
            async with connected(served) as client:
                client.send(HEALTHZ)
                answer = await client.rest()
                assert answer.startswith(b"HTTP/1.1 503 ")
                assert b'"code":"too_many_connections"' in answer
                assert b"retry-after: 1" in answer
        assert served.state.refused_connections == {"too_many_connections": 3}
        for stream in served.engine.streams:
            end(stream, "stop")
        assert [(await task).status_code for task in busy] == [200] * 3


@on_loop
async def test_those_that_are_refused_take_nobodys_place() -> None:
    """They stay a while, so that the answer arrives; they do not count."""
    async with serving(FakeEngine(), settings=Settings(max_connections=1)) as served:
        busy = asyncio.create_task(served.post())
        await wait_for(served.engine.submitted)
        refused = [await asyncio.open_connection(*served.address) for _ in range(5)]
        for reader, _ in refused:
            assert b" 503 " in await reader.readline()
        end(served.engine.streams[0], "stop")
        assert (await busy).status_code == 200
        async with connected(served) as client:
            client.send(HEALTHZ)
            assert b" 200 " in await client.line()
        for _, writer in refused:
            writer.close()


@pytest.mark.parametrize("data", [b"", HEALTHZ[:10], HEALTHZ])
@on_loop
async def test_who_asks_for_nothing_makes_room_for_who_does(data: bytes) -> None:
    """Even if all places are taken by connections that never began, do not go on, or are kept for later."""
    async with serving(FakeEngine(), settings=Settings(max_connections=10)) as served:
        busy = asyncio.create_task(served.post())
        await wait_for(served.engine.submitted)
        held = [await asyncio.open_connection(*served.address) for _ in range(9)]
        for _, writer in held:
            writer.write(data)
        await until(lambda: len(served.listener.connections) == 10)
        for count in range(1, 6):
            async with connected(served) as client:
                client.send(HEALTHZ)
                assert b" 200 " in await client.line()
                assert len(served.listener.connections) == 10
            assert served.state.refused_connections["made_room"] == count
            await until(lambda: len(served.listener.connections) == 9)
            held.append(await asyncio.open_connection(*served.address))
            await until(lambda: len(served.listener.connections) == 10)
        end(served.engine.streams[0], "stop")
        assert (await busy).status_code == 200
        for _, writer in held:
            writer.close()


def test_room_for_connections() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(300, before[0]), before[1]))
        assert make_room_for(100) == 100
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 356
        assert make_room_for(1) == 1
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 356
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_less_room_than_wanted_is_told(caplog: pytest.LogCaptureFixture) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert make_room_for(1 << 40) < before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
        assert "open files, and the limit is" in caplog.text
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
