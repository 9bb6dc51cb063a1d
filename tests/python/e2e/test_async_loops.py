"""An `AsyncEngine` that is used from other loops, in other threads, than the one it was loaded on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import llamad
import pytest
from llamad import AsyncEngine

from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

WAIT_S = 60.0
GREEDY: dict[str, Any] = {"temperature": 0}
PROMPTS = ["hello world", "count the story", "one and two", "the system of the user"] * 5


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(int(WAIT_S / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not in time")


def elsewhere(use: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function on another loop, in another thread."""
    return asyncio.to_thread(lambda: asyncio.run(_bounded(use)))


async def _bounded(use: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(WAIT_S):
        return await use()


def test_other_loops_may_use_an_engine(tiny_model: Path) -> None:
    async def test() -> None:
        async with await AsyncEngine.load(tiny_model, n_ctx=512, n_threads=1) as engine:
            expected = await engine.generate(PROMPTS, max_tokens=8, **GREEDY)

            async def there() -> None:
                assert asyncio.get_running_loop() is not engine._loop
                one = await engine.generate(PROMPTS[0], max_tokens=8, **GREEDY)
                assert one.text == expected[0].text
                batch = await engine.submit_batch(PROMPTS, max_tokens=8, **GREEDY)
                assert [result.text async for result in batch] == expected.texts
                stream = await engine.stream(PROMPTS[0], max_tokens=8, **GREEDY)
                assert "".join([delta.text async for delta in stream]) == expected[0].text
                assert await engine.tokenize("hello") == engine._native.tokenize("hello")
                with pytest.raises(llamad.ParameterError):
                    await engine.generate([[10**6]])

            await asyncio.gather(*(elsewhere(there) for _ in range(4)))

    asyncio.run(_bounded(test))


def test_cancelling_elsewhere_cancels_the_request(endless_model: Path) -> None:
    async def test() -> None:
        async with await AsyncEngine.load(endless_model, n_ctx=ENDLESS_N_CTX, n_threads=1) as engine:

            async def there() -> None:
                waiting = asyncio.ensure_future(engine.generate("hello", ignore_eos=True))
                stream = await engine.stream("hello", ignore_eos=True)
                reading = asyncio.ensure_future(stream.wait())
                await until(lambda: engine.stats()["running"] == 2)
                for task in (waiting, reading):
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                stream.cancel()
                await until(lambda: not engine.stats()["running"])

            await elsewhere(there)

    asyncio.run(_bounded(test))


def test_a_loop_that_has_ended_is_named(tiny_model: Path) -> None:
    engine = asyncio.run(AsyncEngine.load(tiny_model, n_parallel=1, n_ctx=64, n_threads=1))
    with pytest.raises(RuntimeError, match=r"event loop .* has ended"):
        asyncio.run(engine.generate("hello"))
    engine._native.close()
