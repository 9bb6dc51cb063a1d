"""A client that vanishes stops its own request, in whatever state that is."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from .fakes import WAIT_S, FakeEngine, delta, end
from .harness import Served, chat_body, on_loop, raw_request, serving, until, wait_for


async def connect_and_ask(served: Served, **fields: Any) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection(*served.address)
    writer.write(raw_request(orjson.dumps(chat_body(**fields))))
    await writer.drain()
    return writer


async def until_no_request_is_live(served: Served) -> None:
    assert await served.state.wait_idle(WAIT_S)


@pytest.mark.parametrize("stream", [True, False])
@on_loop
async def test_running_request_is_cancelled(stream: bool) -> None:
    async with serving(FakeEngine()) as served:
        writer = await connect_and_ask(served, stream=stream)
        await wait_for(served.engine.submitted)
        delta(served.engine.streams[0], "Hel")
        assert not served.engine.cancelled.is_set()
        writer.close()
        await wait_for(served.engine.cancelled)
        await until_no_request_is_live(served)
        assert served.state.answered == {499: 1}


@pytest.mark.parametrize("stream", [True, False])
@on_loop
async def test_queued_request_is_cancelled(stream: bool) -> None:
    """Submitted, but no event has come yet."""
    async with serving(FakeEngine()) as served:
        writer = await connect_and_ask(served, stream=stream)
        await wait_for(served.engine.submitted)
        writer.close()
        await wait_for(served.engine.cancelled)
        await until_no_request_is_live(served)


@on_loop
async def test_reset_counts_as_going() -> None:
    async with serving(FakeEngine()) as served:
        writer = await connect_and_ask(served, stream=True)
        await wait_for(served.engine.submitted)
        writer.transport.abort()
        await wait_for(served.engine.cancelled)


@on_loop
async def test_nothing_is_submitted_for_a_client_that_left_while_the_model_loaded() -> None:
    async with serving(FakeEngine()) as served:
        served.models.get_gate = asyncio.Event()
        writer = await connect_and_ask(served, stream=True)
        await wait_for(served.models.getting)
        writer.close()
        await until_no_request_is_live(served)
        served.models.get_gate.set()
        assert (await served.client.get("/healthz")).status_code == 200
        assert served.engine.streams == []


@on_loop
async def test_nothing_is_submitted_for_a_client_that_left_during_preparation() -> None:
    engine = FakeEngine()
    engine.prepare_gate = asyncio.Event()
    async with serving(engine) as served:
        writer = await connect_and_ask(served, stream=False)
        await wait_for(engine.preparing)
        writer.close()
        await until_no_request_is_live(served)
        engine.prepare_gate.set()
        assert (await served.client.get("/healthz")).status_code == 200
        assert engine.streams == []


@on_loop
async def test_client_that_leaves_in_the_middle_of_its_body() -> None:
    async with serving() as served:
        _, writer = await asyncio.open_connection(*served.address)
        writer.write(raw_request(b'{"model"').replace(b"content-length: 8", b"content-length: 80"))
        await writer.drain()
        await until(lambda: len(served.state.live) == 1)
        writer.close()
        await until_no_request_is_live(served)
        assert served.engine.streams == []


@on_loop
async def test_neighbours_do_not_notice() -> None:
    async with serving(FakeEngine()) as served:
        leaving = await connect_and_ask(served, stream=True)
        await wait_for(served.engine.submitted)
        staying = asyncio.create_task(served.post())
        await until(lambda: len(served.engine.streams) == 2)
        leaving.close()
        await wait_for(served.engine.cancelled)
        assert not served.engine.streams[1].finished
        delta(served.engine.streams[1], "still here")
        end(served.engine.streams[1], "stop", completion=1)
        assert (await staying).json()["choices"][0]["message"]["content"] == "still here"
