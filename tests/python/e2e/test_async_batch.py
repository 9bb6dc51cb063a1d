"""Many prompts on an event loop: `AsyncEngine.generate` and `AsyncBatch`, also from other loops."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import llamad
import pytest
from llamad import AsyncBatch, AsyncEngine, Result, SamplingParams, request_options
from llamad.jobs import CompletionJob, completion_jobs

from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

WAIT_S = 60.0
GREEDY: dict[str, Any] = {"temperature": 0}
PROMPTS = ["hello world", "count the story", "one and two", "the system of the user"] * 5


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run an async test for a bounded time."""

    async def bounded() -> None:
        async with asyncio.timeout(2 * WAIT_S):
            await test()

    asyncio.run(bounded())


@asynccontextmanager
async def loaded(path: Path, **options: Any) -> AsyncIterator[AsyncEngine]:
    async with await AsyncEngine.load(path, **{"n_ctx": 512, "n_threads": 1} | options) as engine:
        yield engine


@asynccontextmanager
async def endless(path: Path, **options: Any) -> AsyncIterator[AsyncEngine]:
    async with loaded(path, n_parallel=2, n_ctx=ENDLESS_N_CTX, **options) as engine:
        yield engine


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(int(WAIT_S / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not in time")


def idle(engine: AsyncEngine) -> bool:
    stats = engine.stats()
    return bool(stats["running"] == stats["waiting"] == 0)


def test_the_ways_to_read_agree(tiny_model: Path) -> None:
    async def test() -> None:
        async with loaded(tiny_model) as engine:
            expected = [(await engine.generate(prompt, max_tokens=8, **GREEDY)).text for prompt in PROMPTS]
            batch = await engine.submit_batch(PROMPTS, max_tokens=8, **GREEDY)
            assert [result.text async for result in batch] == expected
            assert (await batch.results()).texts == expected
            completed = {index: result.text async for index, result in batch.as_completed()}
            assert [completed[index] for index in range(len(PROMPTS))] == expected
            assert batch.finished
            assert batch.n_done == len(PROMPTS)
            assert (await engine.generate(iter(PROMPTS), max_tokens=8, **GREEDY)).texts == expected
            nothing: list[str] = []
            assert await engine.generate(nothing) == []

    run(test)


def test_chats(tiny_model: Path) -> None:
    async def test() -> None:
        async with loaded(tiny_model) as engine:
            one = await engine.chat("hello", max_tokens=8, **GREEDY)
            many = await engine.chat(
                ["hello", [{"role": "user", "content": "hello"}]], max_tokens=8, **GREEDY
            )
            assert [answer.text for answer in many] == [one.text] * 2
            async with await engine.stream_chat("hello", max_tokens=8, **GREEDY) as stream:
                assert "".join([delta.text async for delta in stream]) == one.text
                assert stream.result.text == (await stream.wait()).text == one.text
            batch = await engine.submit_chat_batch(["hello"] * 3, max_tokens=8, **GREEDY)
            assert [answer.text async for answer in batch] == [one.text] * 3

    run(test)


def test_more_than_the_queue_holds(tiny_model: Path) -> None:
    async def test() -> None:
        async with loaded(tiny_model, n_parallel=1, max_queue=1) as engine:
            results = await engine.generate(PROMPTS, max_tokens=2)
            assert len(results) == len(PROMPTS)
            each = await asyncio.gather(*(engine.generate(prompt, max_tokens=2) for prompt in PROMPTS))
            assert len(each) == len(PROMPTS)

    run(test)


def test_a_bad_prompt_says_which_and_cancels_the_others(endless_model: Path) -> None:
    async def test() -> None:
        async with endless(endless_model) as engine:
            prompts: list[Any] = ["hello", "world", [10**6], "more"]
            with pytest.raises(llamad.ParameterError, match=r"^prompt 2: "):
                await engine.generate(prompts, ignore_eos=True)
            await until(lambda: idle(engine))
            results = await engine.generate(prompts, max_tokens=2, return_exceptions=True)
            assert [type(one) for one in results] == [Result, Result, llamad.ParameterError, Result]

    run(test)


def test_an_iterable_that_raises(endless_model: Path) -> None:
    def prompts() -> Iterator[str]:
        yield "hello"
        raise ZeroDivisionError("in the middle")

    async def test() -> None:
        async with endless(endless_model) as engine:
            with pytest.raises(ZeroDivisionError, match="in the middle"):
                await engine.generate(prompts(), ignore_eos=True)
            await until(lambda: idle(engine))

    run(test)


def test_an_iterable_that_waits_holds_up_nobody(tiny_model: Path) -> None:
    go_on = threading.Event()

    def prompts() -> Iterator[str]:
        yield "hello"
        assert go_on.wait(WAIT_S)
        yield "world"

    async def test() -> None:
        async with loaded(tiny_model) as engine:
            batch = await engine.submit_batch(prompts(), max_tokens=2)
            results = aiter(batch)
            assert (await anext(results)).usage.completion_tokens == 2
            assert len((await engine.generate("another", max_tokens=2)).token_ids) == 2
            go_on.set()
            assert len([result async for result in results]) == 1

    run(test)


def test_cancelling_the_task_cancels_all(endless_model: Path) -> None:
    async def test() -> None:
        async with endless(endless_model) as engine:
            for ask in (lambda: engine.generate(["hello"] * 100, ignore_eos=True), lambda: wait(engine)):
                task = asyncio.ensure_future(ask())
                await until(lambda: engine.stats()["running"] == 2)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await until(lambda: idle(engine))

    async def wait(engine: AsyncEngine) -> None:
        async for _ in await engine.submit_batch(["hello"] * 100, ignore_eos=True):
            pass

    run(test)


def test_what_was_cancelled_can_be_had(endless_model: Path) -> None:
    async def test() -> None:
        async with endless(endless_model) as engine:
            async with await engine.submit_batch(["hello"] * 100, ignore_eos=True) as batch:
                await until(lambda: engine.stats()["generated_tokens"] > 20)
            await until(lambda: batch.finished)
            partial = batch.partial()
            assert len(partial) == 100
            assert partial[0] is not None
            assert partial[0].finish_reason == "cancelled"
            assert partial[0].text == await engine.detokenize(partial[0].token_ids)
            assert partial[-1] is None
            with pytest.raises(CancelledError):
                await batch.results()

    run(test)


def test_a_batch_that_is_dropped_is_cancelled(endless_model: Path) -> None:
    async def test() -> None:
        async with endless(endless_model) as engine:
            batch = await engine.submit_batch(["hello"] * 100, ignore_eos=True)
            await until(lambda: engine.stats()["running"] == 2)
            gone = weakref.ref(batch)
            del batch
            gc.collect()
            assert gone() is None
            await until(lambda: idle(engine))

    run(test)


def test_a_failed_batch_can_be_dropped(tiny_model: Path) -> None:
    async def test() -> None:
        async with loaded(tiny_model) as engine:
            prompts: Any = ["hello", None, "hello " * 1000]
            batch = await engine.submit_batch(prompts, max_tokens=2)
            with pytest.raises(llamad.ParameterError, match=r"prompts\[1\]"):
                await batch.results()
            mixed = await batch.results(return_exceptions=True)
            assert isinstance(mixed[1], llamad.ParameterError)
            gone = weakref.ref(batch)
            del batch, mixed
            await asyncio.sleep(0)
            gc.collect()
            assert gone() is None

    run(test)


def test_close_ends_a_batch(endless_model: Path) -> None:
    async def test() -> None:
        async with endless(endless_model) as engine:
            batch = await engine.submit_batch(["hello"] * 100, ignore_eos=True)
            await until(lambda: engine.stats()["running"] == 2)
            await engine.close()
            with pytest.raises(llamad.EngineClosedError):
                await batch.results()
            for_ever = await engine.submit_batch(itertools.repeat("hello"))
            await until(lambda: for_ever.finished)

    run(test)


class Countdown(CompletionJob):
    """Asks again until its prompt counts 0."""

    async def follow_up_async(self, done: Result) -> Any:
        await asyncio.sleep(0)
        left = int(str(self.prompt))
        return replace(self, prompt=str(left - 1)) if left else None


def test_rounds(tiny_model: Path) -> None:
    async def test() -> None:
        async with loaded(tiny_model) as engine:
            jobs: Any = completion_jobs(
                ["3", "0", "1"], options=request_options.DEFAULT, overrides={"max_tokens": 1}
            )
            rounds: Any = (
                Countdown(job.prompt, job.params, job.options, job.output, job.origin) for job in jobs
            )
            batch: AsyncBatch[Result] = engine._batch(rounds, 3)
            assert len(await batch.results()) == 3
            assert engine.stats()["finished_length"] == 4 + 1 + 2

    run(test)


def test_params_for_each(tiny_model: Path) -> None:
    async def test() -> None:
        async with loaded(tiny_model) as engine:
            params = [SamplingParams(max_tokens=n, ignore_eos=True) for n in (1, 2, 3)]
            results = await engine.generate(["a", "b", "c"], params)
            assert [len(result.token_ids) for result in results] == [1, 2, 3]

    run(test)
