"""What a request held is freed when it is over, not when garbage is collected: an engine may hang on it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .fakes import FakeEngine
from .harness import CHAT, Served, chat_body, on_loop, serving, until


@contextmanager
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def freed(served: Served) -> None:
    streams = [weakref.ref(stream) for stream in served.engine.streams]
    assert streams
    served.engine.streams.clear()
    await until(lambda: not any(stream() for stream in streams))


@pytest.mark.parametrize("stream", [False, True])
@on_loop
async def test_answered_request(stream: bool) -> None:
    async with serving() as served:
        with no_collection():
            await served.client.post(CHAT, json=chat_body(stream=stream))
            await freed(served)


@pytest.mark.parametrize("stream", [False, True])
@on_loop
async def test_client_that_left(stream: bool) -> None:
    async with serving(FakeEngine()) as served:
        with no_collection():
            request = asyncio.create_task(served.post(stream=stream))
            await served.engine.submitted.wait()
            request.cancel()
            await asyncio.wait({request})
            await until(lambda: served.engine.streams[0].finished and not served.state.live)
            del request
            await freed(served)
