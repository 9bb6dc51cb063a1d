"""What operators decide: which models stay, go when they are idle, or are there from the start."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from llamad.errors import MemoryBudgetError, ModelBusyError, ModelLoadingError, UnknownModelError

from tests.python.support.fake_loader import GIB, quiet, run, states, until
from tests.python.support.house import House


def test_pinned_models_stay(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text("[models.a]\npinned = true\n")

    async def scenario() -> None:
        house = House(tmp_path, keep_alive=5.0)
        (await house.load("a")).release()
        (await house.load("b")).release()
        house.time.now += 1
        (await house.load("c")).release()
        assert house.there() == {"a", "c"}
        house.loader.sizes["d"] = 2 * GIB
        with pytest.raises(MemoryBudgetError, match=r"of which a, which must stay, leave 1\.\d\d GiB"):
            await house.manager.lease("d", "generate")
        await house.time.advance(6)
        assert house.there() == {"a"}

    run(scenario)


def test_an_idle_model_goes_when_its_keep_alive_is_over(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text("[models.b]\nkeep_alive = -1\n")

    async def scenario() -> None:
        house = House(tmp_path, keep_alive=5.0)
        held = await house.load("a")
        (await house.load("b")).release()
        await house.time.advance(100)
        assert house.there() == {"a", "b"}, "one is in use, the other has a setting of its own"
        held.release()
        await house.time.advance(4.9)
        assert house.there() == {"a", "b"}
        (await house.manager.lease("a", "generate")).release()
        await house.time.advance(4.9)
        assert house.there() == {"a", "b"}, "time begins anew with each use"
        await house.time.advance(0.2)
        assert house.there() == {"b"}
        counters = house.manager.statistics().counters
        await until(lambda: counters.unloads == {"a": 1})
        assert counters.evictions == {}

    run(scenario)


def test_a_keep_alive_of_zero_unloads_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path, keep_alive=0.0)
        lease = await house.load("a")
        assert house.there() == {"a"}
        lease.release()
        await quiet()
        assert house.there() == set()

    run(scenario)


def test_preloaded_models_do_not_make_room_for_each_other(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text("[models.c]\npreload = true\naliases = ['see']\n")

    async def scenario() -> None:
        house = House(tmp_path)
        preload = asyncio.create_task(house.manager.preload(["b", "b"]))
        for count in (1, 2):
            await house.loader.loads(count)
            house.loader.finish()
        await preload
        assert house.loader.started == ["b", "c"]
        (await house.load("d")).release()
        assert house.there() == {"c", "d"}, "once all are there, they are models like any other"

        crowded = House(tmp_path)
        preload = asyncio.create_task(crowded.manager.preload(["see", "a", "b"]))
        for count in (1, 2):
            await crowded.loader.loads(count)
            crowded.loader.finish()
        with pytest.raises(MemoryBudgetError, match=r"'b' needs .*of which c, a, which must stay"):
            await preload

    run(scenario)


def test_preloading_what_is_not_there_fails(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(UnknownModelError):
            await House(tmp_path).manager.preload(["x"])

    run(scenario)


def test_operators_load_and_unload(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        loading = asyncio.create_task(house.manager.load("a"))
        await house.loader.loads(1)
        with pytest.raises(ModelBusyError, match="'a' is being loaded"):
            await house.manager.unload("a")
        house.loader.finish()
        assert (await loading).state == "loaded"
        assert (await house.manager.load("a")).state == "loaded"
        lease = await house.manager.lease("a", "generate")
        with pytest.raises(ModelBusyError, match="1 request uses model 'a'"):
            await house.manager.unload("a")
        lease.release()
        assert (await house.manager.unload("a")).state == "unloaded"
        assert (await house.manager.unload("a")).state == "unloaded"
        assert house.loader.engines[0].closed == 1
        with pytest.raises(UnknownModelError):
            await house.manager.unload("x")

    run(scenario)


def test_force_unloads_a_model_in_use_and_one_that_loads(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        lease = await house.load("a")
        assert (await house.manager.unload("a", force=True)).state == "unloaded"
        lease.release()
        waiter = house.ask("a")
        await house.loader.loads(2)
        assert (await house.manager.unload("a", force=True)).state == "unloaded"
        assert house.loader.cancelled()
        with pytest.raises(ModelLoadingError, match="'a' was unloaded while it was loading"):
            await waiter
        await house.load("a")

    run(scenario)


def test_a_request_during_an_unload_waits_and_has_the_model_loaded_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        (await house.load("a")).release()
        engine = house.loader.engines[0]
        engine.gate = asyncio.Event()
        unloading = asyncio.create_task(house.manager.unload("a"))
        await engine.closing.wait()
        waiter = house.ask("a")
        await quiet()
        assert states(house.manager)["a"] == "unloading"
        engine.gate.set()
        await unloading
        await house.loader.loads(2)
        house.loader.finish()
        assert (await waiter).engine is not engine

    run(scenario)
