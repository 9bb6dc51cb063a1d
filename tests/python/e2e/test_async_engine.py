"""`llamad.AsyncEngine` on a real model: iteration, concurrency, cancellation, closing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import llamad
import pytest
from llamad import AsyncEngine, SamplingParams

from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

GREEDY: dict[str, Any] = {"temperature": 0}
PROMPTS = ("hello world", "count the story", "one and two", "the system of the user")
WAIT_S = 60.0


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run an async test for a bounded time."""

    async def bounded() -> None:
        async with asyncio.timeout(2 * WAIT_S):
            await test()

    asyncio.run(bounded())


@asynccontextmanager
async def loaded(path: Path, **options: Any) -> AsyncIterator[AsyncEngine]:
    async with await AsyncEngine.load(str(path), n_threads=1, **options) as engine:
        yield engine


async def until(engine: AsyncEngine, running: int, waiting: int) -> None:
    """Wait until so many requests have a slot, and so many wait for one."""
    for _ in range(int(WAIT_S / 0.01)):
        stats = engine.stats()
        if (stats["running"], stats["waiting"]) == (running, waiting):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not {running} running and {waiting} waiting in time: {engine.stats()}")


def test_iteration_yields_the_whole_text(tiny_model: Path) -> None:
    async def test() -> None:
        async with loaded(tiny_model, n_ctx=512) as engine:
            whole = await engine.generate("hello world", max_tokens=32, **GREEDY)
            stream = await engine.stream("hello world", max_tokens=32, **GREEDY)
            deltas = [delta async for delta in stream]
            assert "".join(delta.text for delta in deltas) == whole.text
            assert stream.finished
            assert stream.result.token_ids == whole.token_ids
            assert repr(engine).startswith("<AsyncEngine: llama, ")

    run(test)


def test_many_at_once_equal_one_at_a_time(tiny_model: Path) -> None:
    async def test() -> None:
        async with loaded(tiny_model, n_ctx=512) as engine:
            alone = [await engine.generate(prompt, max_tokens=24, **GREEDY) for prompt in PROMPTS]
            together = await asyncio.gather(
                *(engine.generate(prompt, max_tokens=24, **GREEDY) for prompt in PROMPTS)
            )
            assert [result.text for result in together] == [result.text for result in alone]

    run(test)


def test_chat(tiny_model: Path) -> None:
    async def test() -> None:
        async with loaded(tiny_model, n_ctx=512) as engine:
            result = await engine.chat([{"role": "user", "content": "hello"}], max_tokens=8, **GREEDY)
            assert result.usage.completion_tokens == 8

    run(test)


def test_cancelling_the_task_cancels_the_request(endless_model: Path) -> None:
    async def test() -> None:
        async with loaded(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX) as engine:
            running = asyncio.create_task(engine.generate("hello", ignore_eos=True))
            queued = asyncio.create_task(engine.generate("world", ignore_eos=True))
            await until(engine, running=1, waiting=1)
            for task in (queued, running):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await until(engine, running=0, waiting=0)

    run(test)


def test_cancelling_a_stream_ends_it(endless_model: Path) -> None:
    async def test() -> None:
        async with loaded(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX) as engine:
            stream = await engine.stream("hello", ignore_eos=True)
            async for _ in stream:
                stream.cancel()
                stream.cancel()
            assert stream.result.finish_reason == "cancelled"
            await until(engine, running=0, waiting=0)

    run(test)


def test_leaving_the_context_of_a_stream_cancels_it(endless_model: Path) -> None:
    async def test() -> None:
        async with loaded(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX) as engine:
            async with await engine.stream("hello", ignore_eos=True) as stream:
                async for _ in stream:
                    break
            assert (await stream.wait()).finish_reason == "cancelled"
            await until(engine, running=0, waiting=0)

    run(test)


def test_cancelling_the_task_that_reads_cancels_the_request(endless_model: Path) -> None:
    async def test() -> None:
        async with loaded(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX) as engine:
            running = await engine.stream("hello", ignore_eos=True)
            queued = await engine.stream("world", ignore_eos=True)
            reader = asyncio.create_task(anext(queued))
            await asyncio.sleep(0)
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            assert (await queued.wait()).finish_reason == "cancelled"
            assert not running.finished
            running.cancel()

    run(test)


def test_a_slow_reader_gets_fewer_and_longer_deltas(tiny_model: Path) -> None:
    async def test() -> None:
        async with loaded(tiny_model, n_ctx=512) as engine:
            stream = await engine.stream("hello world", max_tokens=64, **GREEDY)
            await stream.wait()
            deltas = [delta async for delta in stream]
            assert len(deltas) == 1
            assert len(deltas[0].token_ids) == 64

    run(test)


def test_errors_surface_before_a_stream_begins(tiny_model: Path) -> None:
    async def test() -> None:
        async with loaded(tiny_model, n_ctx=256) as engine:
            with pytest.raises(llamad.ContextLengthError):
                await engine.stream("hello world " * 600)
            with pytest.raises(llamad.ParameterError):
                await engine.generate("hello", temperature=-1)

    run(test)


def test_close_is_idempotent_and_ends_what_is_running(endless_model: Path) -> None:
    async def test() -> None:
        async with loaded(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX) as engine:
            running = await engine.stream("hello", ignore_eos=True)
            await anext(aiter(running))
            await engine.close()
            await engine.close()
            with pytest.raises(llamad.EngineClosedError):
                await running.wait()

    run(test)


def test_a_closed_engine_says_so(tiny_model: Path) -> None:
    async def test() -> None:
        async with loaded(tiny_model, n_ctx=256) as engine:
            prepared = await engine.prepare("hello", SamplingParams(), stream=False)
            await engine.close()
            for use in (
                engine.prepare("hello", SamplingParams(), stream=False),
                engine.generate("hello"),
                engine.stream("hello"),
                engine.chat([{"role": "user", "content": "hello"}]),
            ):
                with pytest.raises(llamad.EngineClosedError):
                    await use
            with pytest.raises(llamad.EngineClosedError):
                engine.submit(prepared)

    run(test)


def test_close_ends_what_is_still_being_prepared(endless_model: Path) -> None:
    async def test() -> None:
        async with loaded(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX) as engine:
            # Far more than the threads that prepare: most are queued when the engine closes.
            prompt = "hello world " * 200
            tasks = [asyncio.create_task(engine.generate(prompt, ignore_eos=True)) for _ in range(64)]
            await asyncio.sleep(0)
            await engine.close()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(end) for end in ends} == {llamad.EngineClosedError}

    run(test)


def test_giving_up_on_close_does_not_stop_it(endless_model: Path) -> None:
    async def test() -> None:
        async with loaded(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX) as engine:
            running = await engine.stream("hello", ignore_eos=True)
            await anext(running)
            closing = asyncio.create_task(engine.close())
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            await asyncio.wait_for(engine.close(), WAIT_S)
            with pytest.raises(llamad.EngineClosedError):
                await running.wait()

    run(test)


def test_a_damaged_file_raises_from_load(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(llamad.ModelNotFoundError):
            await AsyncEngine.load(str(tmp_path / "absent.gguf"))

    run(test)
