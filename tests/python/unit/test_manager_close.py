"""The end of a manager: whatever is under way ends, and everything is closed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

import pytest
from llamad.errors import EngineClosedError
from llamad.models import keeper

from tests.python.support.fake_loader import (
    FakeEngine,
    FakeLoader,
    manager_of,
    quiet,
    run,
    states,
    until,
    write_models,
)

if TYPE_CHECKING:
    from pathlib import Path

    from llamad.engine_protocol import EngineProtocol


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_models(tmp_path, "ab")
    return tmp_path


def test_close_closes_every_engine_and_refuses_from_then_on(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiters = [asyncio.create_task(manager.lease(name, "generate")) for name in ("a", "b")]
        await loader.loads(2)
        loader.finish(0)
        loader.finish(1)
        await asyncio.gather(*waiters)
        await manager.close()
        await manager.close()
        assert [engine.closed for engine in loader.engines] == [1, 1]
        assert manager.engines() == {}
        with pytest.raises(EngineClosedError):
            await manager.lease("a", "generate")

    run(scenario)


def test_close_gives_up_a_load_under_way_and_answers_its_waiters(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.lease("a", "generate"))
        await loader.loads(1)
        await manager.close()
        assert loader.cancelled()
        with pytest.raises(EngineClosedError):
            await waiter
        assert states(manager)["a"] == "unloaded"

    run(scenario)


def test_close_answers_who_waits_for_memory_and_for_an_estimate(directory: Path) -> None:
    async def scenario() -> None:
        class Slow(FakeLoader):
            async def estimate(self, *args: Any) -> Any:
                self.estimated.append("")
                await asyncio.Event().wait()

        loader = Slow()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.lease("a", "generate"))
        await until(lambda: bool(loader.estimated))
        await manager.close()
        with pytest.raises(EngineClosedError):
            await waiter

    run(scenario)


def test_close_closes_the_engine_of_a_load_that_cannot_be_given_up(directory: Path) -> None:
    async def scenario() -> None:
        engine = FakeEngine()
        begun = asyncio.Event()

        class Stubborn(FakeLoader):
            async def load(self, *args: Any) -> EngineProtocol:
                begun.set()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
                return cast("EngineProtocol", engine)

        manager = manager_of(directory, Stubborn())
        waiter = asyncio.create_task(manager.lease("a", "generate"))
        await begun.wait()
        await manager.close()
        assert engine.closed == 1
        with pytest.raises(EngineClosedError):
            await waiter

    run(scenario)


def test_one_engine_that_fails_to_close_does_not_keep_the_others_open(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        for index, engine in enumerate((FakeEngine(RuntimeError("stuck")), FakeEngine())):
            waiter = asyncio.create_task(manager.lease("ab"[index], "generate"))
            await loader.loads(index + 1)
            loader.finish(engine=engine)
            await waiter
        await manager.close()
        assert [engine.closed for engine in loader.engines] == [1, 1]

    run(scenario)
    (record,) = (record for record in caplog.records if record.name == keeper.__name__)
    assert record.getMessage() == "closing a failed"
    assert "stuck" in caplog.text


def test_close_waits_for_an_unload_under_way_and_closes_nothing_twice(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.load("a"))
        await loader.loads(1)
        engine = FakeEngine()
        engine.gate = asyncio.Event()
        loader.finish(engine=engine)
        await waiter
        unloading = asyncio.create_task(manager.unload("a"))
        await engine.closing.wait()
        closing = asyncio.create_task(manager.close())
        await quiet()
        assert not closing.done()
        engine.gate.set()
        await asyncio.gather(closing, unloading)
        assert engine.closed == 1

    run(scenario)
