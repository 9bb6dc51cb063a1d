"""What engines tell of themselves: figures that add up, also once they are closed, and slots."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from llamad import AsyncEngine
from llamad.async_embedder import AsyncEmbedder
from llamad.errors import QueueFullError

from tests.python.support.tiny_embedders import write_embedder
from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

WAIT_S = 90.0
N_TOKENS = 12


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WAIT_S):
            await scenario()

    asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Wait, within `run`'s bound, for something that nobody signals."""
    for _ in range(int(WAIT_S * 200)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not become true in time")


def count(stats: dict[str, Any], name: str) -> int:
    bounds, counts, total = stats["histograms"][name]
    assert list(bounds) == sorted(bounds)
    assert len(counts) == len(bounds) + 1
    assert total >= 0
    return sum(counts)


def test_figures_of_an_engine_add_up(tiny_model: Path) -> None:
    async def scenario() -> None:
        engine = await AsyncEngine.load(tiny_model, n_threads=1, n_parallel=2, n_ctx=256)
        for prompt in ("hello world", "the story"):
            await engine.generate(prompt, max_tokens=N_TOKENS, ignore_eos=True)
        stats = engine.stats()
        for name in ("queue_s", "ttft_s", "e2e_s", "prefill_s", "decode_s", "prompt_tokens"):
            assert count(stats, name) == 2
        assert count(stats, "itl_s") == 2 * (N_TOKENS - 1)
        assert stats["histograms"]["generation_tokens"][2] == stats["generated_tokens"] == 2 * N_TOKENS
        rows = stats["histograms"]["decode_rows"][2] + stats["histograms"]["prefill_rows"][2]
        assert rows == stats["prefilled_tokens"] + stats["generated_tokens"] - 2
        assert count(stats, "decode_rows") + count(stats, "prefill_rows") == stats["decode_calls"]
        assert (stats["slots"], stats["kv_cells"], stats["kv_cells_used"]) == (2, 512, 0)
        assert stats["busy_s"] == 0
        closed = [engine.closed]
        await engine.close()
        assert [*closed, engine.closed] == [False, True]
        assert engine.stats()["generated_tokens"] == 2 * N_TOKENS
        assert [slot["state"] for slot in engine.slots()] == ["idle", "idle"]

    run(scenario)


def test_slots_show_who_runs(endless_model: Path) -> None:
    async def scenario() -> None:
        options: Any = {"n_threads": 1, "n_parallel": 2, "n_ctx": ENDLESS_N_CTX, "max_queue": 1}
        async with await AsyncEngine.load(endless_model, **options) as engine:
            streams = [await engine.stream("hello world", ignore_eos=True) for _ in range(3)]
            with pytest.raises(QueueFullError):
                await engine.stream("no room")
            await until(lambda: all(slot["n_generated"] > 2 for slot in engine.slots()))
            await until(lambda: engine.stats()["waiting"] == 1)
            slots = engine.slots()
            assert [slot["id"] for slot in slots] == [0, 1]
            assert {slot["request_id"] for slot in slots} == {stream.request_id for stream in streams[:2]}
            for slot in slots:
                assert slot["state"] == "decode"
                assert slot["n_cached"] < slot["n_prompt"] < slot["n_computed"]
                assert slot["n_computed"] == slot["n_prompt"] + slot["n_generated"] - 1
                assert slot["age_s"] > 0
            stats = engine.stats()
            assert (stats["running"], stats["waiting"], stats["rejected"]) == (2, 1, 1)
            assert stats["kv_cells_used"] >= sum(slot["n_computed"] for slot in slots)
            for stream in streams:
                stream.cancel()

    run(scenario)


def test_figures_of_an_embedder_add_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = write_embedder("mean", tmp_path / "mean.gguf")
        async with await AsyncEmbedder.load(path, n_threads=1) as embedder:
            answer = await embedder.embed(["the cat sat", "the dog ran"])
            await until(lambda: count(embedder.stats(), "step_s") > 0)
            stats = embedder.stats()
            assert count(stats, "queue_s") == count(stats, "e2e_s") == 1
            assert stats["histograms"]["batch_rows"][2] == stats["prompt_tokens"] == sum(answer.n_tokens)
            assert (stats["rejected"], stats["busy_s"]) == (0, 0)

    run(scenario)
