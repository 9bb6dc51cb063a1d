"""Memory: who is evicted for whom, who waits, who takes turns, and what can never be had."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from llamad.errors import MemoryBudgetError

from tests.python.support.fake_loader import GIB, OVERHEAD, FakeEngine, quiet, run, states
from tests.python.support.house import NAMES, ROOM_FOR_TWO, House


def test_the_least_recently_used_idle_model_makes_room(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        (await house.load("a")).release()
        house.time.now += 1
        (await house.load("b")).release()
        house.time.now += 1
        (await house.manager.lease("a", "generate")).release()
        house.time.now += 1
        (await house.load("c")).release()
        assert house.there() == {"a", "c"}
        assert [engine.closed for engine in house.loader.engines] == [0, 1, 0]
        counters = house.manager.statistics().counters
        assert (counters.evictions, counters.unloads) == ({"b": 1}, {})

    run(scenario)


def test_a_model_in_use_is_not_evicted_and_the_next_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        a, b = await house.load("a"), await house.load("b")
        waiter = house.ask("c")
        await house.settle("c")
        assert states(house.manager)["c"] == "queued"
        assert house.there() == {"a", "b"}
        b.release()
        await house.loader.loads(3)
        house.loader.finish()
        await waiter
        assert house.there() == {"a", "c"}
        a.release()
        a.release()
        assert house.loader.engines[0].closed == 0, "a lease given back twice counts once"

    run(scenario)


def test_memory_of_a_model_is_free_only_when_it_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        first = await house.load("a")
        engine = house.loader.engines[0]
        engine.gate = asyncio.Event()
        await house.load("b")
        waiter = house.ask("c")
        await house.settle("c")
        first.release()
        await engine.closing.wait()
        await quiet()
        assert states(house.manager)["a"] == "unloading"
        assert states(house.manager)["c"] == "queued"
        assert house.loader.started == ["a", "b"]
        again = house.ask("a")
        await quiet()
        engine.gate.set()
        await house.loader.loads(3)
        assert house.loader.started[2] == "c", "who asks for the model that goes is no reason to keep it"
        house.loader.finish()
        await waiter
        again.cancel()

    run(scenario)


def test_models_that_do_not_fit_together_take_turns_and_serve_all_who_wait_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path, budget=GIB + OVERHEAD)
        held = await house.load("a", took_s=0.5)
        waiters = [house.ask("b") for _ in range(5)]
        await house.settle("b", 5)

        await house.time.advance(1.9)
        (await house.manager.lease("a", "generate")).release()  # it has its turn
        await house.time.advance(0.2)
        late = [house.ask("a") for _ in range(3)]
        await quiet()
        assert not any(task.done() for task in late), "the turn is over: a gets nothing new"
        assert house.there() == {"a"}, "but what runs goes on"

        held.release()
        await house.loader.loads(2)
        house.loader.finish()
        served = [await waiter for waiter in waiters]
        assert house.there() == {"b"}
        assert not any(task.done() for task in late)

        for lease in served:
            lease.release()
        await house.time.advance(0.2)
        await house.loader.loads(3)
        assert house.loader.started == ["a", "b", "a"]
        house.loader.finish()
        for task in late:
            (await task).release()

    run(scenario)


def test_a_drain_ends_when_nobody_waits_any_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path, budget=GIB + OVERHEAD)
        await house.load("a")
        waiter = house.ask("b")
        await house.settle("b")
        await house.time.advance(2.1)
        late = house.ask("a")
        await quiet()
        assert not late.done()
        waiter.cancel()
        assert (await late).model_id == "a"
        assert house.loader.started == ["a"]

    run(scenario)


def test_a_model_that_never_fits_is_refused_with_the_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        house = House(tmp_path, budget=2 * GIB)
        house.loader.sizes["a"] = 3 * GIB
        expected = r"'a' needs 3\.\d\d GiB \(\d+ bytes\) of memory, and the budget is 2\.00 GiB \(2147483648"
        with pytest.raises(MemoryBudgetError, match=expected):
            await house.manager.lease("a", "generate")
        assert house.loader.started == []
        entry = house.manager.entries()[0]
        assert entry.state == "failed"
        assert entry.error is not None
        assert entry.error in caplog.text, "operators are told, too"
        await house.load("b")

    run(scenario)


def test_caches_share_what_is_left_and_keep_no_other_model_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path, budget=4 * GIB, prefix_cache_mib=-1)
        (await house.load("a")).release()
        statistics = house.manager.statistics()
        assert 700 < house.loader.caches[0] < 768, "a quarter of 3 GiB, for the files are tiny"
        assert statistics.memory_by_model["a"] > GIB + (700 << 20)
        (await house.load("b")).release()
        used = house.manager.statistics().memory_used["total"]
        assert used <= 4 * GIB
        left_then = 4 * GIB - statistics.memory_used["total"] - GIB
        assert (house.loader.caches[1] << 20) < left_then // 4

    run(scenario)


def test_caches_take_nothing_of_what_is_promised_to_a_model_that_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path, budget=10 * GIB, prefix_cache_mib=-1)
        house.loader.sizes["a"] = 17 * GIB // 2
        leases = [await house.load("b"), await house.load("c")]
        waiter = house.ask("a")
        await house.settle("a")
        await house.time.advance(2.0)
        await house.load("d")
        for lease in leases:
            lease.release()
        # Though requests use "d", which has come later.
        await house.loader.loads(4)
        assert house.loader.started[3] == "a"
        house.loader.finish()
        await waiter
        assert house.there() == {"a", "d"}

    run(scenario)


def test_a_cache_of_a_given_size_is_part_of_the_need(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path, budget=2 * GIB, prefix_cache_mib=1024)
        with pytest.raises(MemoryBudgetError):
            await house.manager.lease("a", "generate")
        house = House(tmp_path, budget=ROOM_FOR_TWO, prefix_cache_mib=1024)
        await house.load("a")
        assert house.loader.caches == [1024]

    run(scenario)


@pytest.mark.parametrize("seed", range(5))
def test_many_models_and_clients_at_random(tmp_path: Path, seed: int) -> None:
    """No request fails, no model in use is closed, and the budget holds, whoever gives up when."""

    class Checked(FakeEngine):
        users = 0

        async def close(self) -> None:
            assert self.users == 0, "closed in use"
            await super().close()

    async def scenario() -> None:
        house = House(tmp_path)
        chance = random.Random(seed)

        async def load(*args: Any) -> Any:
            await asyncio.sleep(chance.choice((0, 0.001)))
            assert house.manager.statistics().memory_used["total"] <= ROOM_FOR_TWO
            return Checked()

        house.loader.load = load  # type: ignore[method-assign, assignment]
        served = 0

        async def client() -> None:
            nonlocal served
            for _ in range(20):
                asking = house.ask(chance.choice(NAMES))
                if chance.random() < 0.2:
                    await asyncio.wait({asking}, timeout=chance.choice((0, 0.002)))
                    asking.cancel()
                    await asyncio.wait({asking})
                    if asking.cancelled():
                        continue
                with await asking as lease:
                    lease.engine.users += 1
                    await asyncio.sleep(chance.choice((0, 0.001)))
                    lease.engine.users -= 1
                served += 1

        async def time() -> None:
            while True:
                await house.time.advance(0.05)
                await asyncio.sleep(0.001)

        passing = asyncio.create_task(time())
        await asyncio.gather(*(client() for _ in range(20)))
        passing.cancel()
        assert served > 200
        await house.manager.close()
        assert house.manager.statistics().memory_used == {}

    run(scenario)
