"""Requests that are submitted together: all are accepted, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from llamad import AsyncEngine, ParameterError, QueueFullError, SamplingParams
from llamad.choices import Choices

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

GREEDY = SamplingParams(max_tokens=8, temperature=0, ignore_eos=True)
ENDLESS = SamplingParams(temperature=0, ignore_eos=True)


def with_engine(path: Path, scenario: Callable[[AsyncEngine], Awaitable[None]]) -> None:
    """Run a scenario with an engine of one slot that lets three more requests wait."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            async with await AsyncEngine.load(path, n_parallel=1, max_queue=3, n_threads=1) as engine:
                await scenario(engine)

    asyncio.run(bounded())


async def prepared(engine: AsyncEngine, *prompts: str, n: int = 1) -> list[Any]:
    return [await engine.prepare(prompt, GREEDY, stream=False, n=n) for prompt in prompts]


def test_results_come_in_the_order_of_the_prompts(tiny_model: Path) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        prompts = ("hello", "world", "the story")
        alone = [(await engine.generate(prompt, GREEDY)).text for prompt in prompts]
        assert len(set(alone)) == 3
        results = await Choices(engine.submit_choices(*await prepared(engine, *prompts))).wait()
        assert [result.text for result in results] == alone
        both = await Choices(engine.submit_choices(*await prepared(engine, *prompts[:2], n=2))).wait()
        assert [result.text for result in both] == [alone[0], alone[0], alone[1], alone[1]]

    with_engine(tiny_model, scenario)


def test_more_than_could_ever_wait_are_refused_for_good(tiny_model: Path) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        with pytest.raises(ParameterError, match="4"):
            engine.submit_choices(*await prepared(engine, "a", "b", "c", "d", "e"))
        assert engine.stats()["prompt_tokens"] == 0

    with_engine(tiny_model, scenario)


def test_where_there_is_no_room_for_all_none_runs_and_all_may_come_again(endless_model: Path) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        running = engine.submit(await engine.prepare("hello", ENDLESS, stream=True))
        await anext(running)
        together = await prepared(engine, "a", "b", "c", "d")
        with pytest.raises(QueueFullError):
            engine.submit_choices(*together)
        running.cancel()
        await running.wait()
        results = await Choices(engine.submit_choices(*together)).wait()
        assert [len(result.token_ids) for result in results] == [8] * 4

    with_engine(endless_model, scenario)


def test_a_request_counts_once(tiny_model: Path) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        one, other = await prepared(engine, "a", "b")
        with pytest.raises(ParameterError, match="submitted before"):
            engine.submit_choices(one, other, one)
        results = await Choices(engine.submit_choices(one, other)).wait()
        assert len(results) == 2
        for again in ((one,), (other, one)):
            with pytest.raises(ParameterError, match="submitted before"):
                engine.submit_choices(*again)
        with pytest.raises(TypeError):
            engine.submit_choices(None)  # type: ignore[arg-type]

    with_engine(tiny_model, scenario)


def test_choices_may_be_submitted_one_by_one_instead(tiny_model: Path) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        sampled = SamplingParams(max_tokens=8, seed=7, ignore_eos=True)
        together, apart = [await engine.prepare("hello", sampled, stream=False, n=3) for _ in range(2)]
        wanted = [result.token_ids for result in await Choices(engine.submit_choices(together)).wait()]
        one_by_one = [await engine.submit(part).wait() for part in apart.take_apart()]
        assert [result.token_ids for result in one_by_one] == wanted
        for submit in (engine.submit_choices, lambda gone: gone.take_apart()):
            with pytest.raises(ParameterError, match="submitted before"):
                submit(apart)

    with_engine(tiny_model, scenario)
