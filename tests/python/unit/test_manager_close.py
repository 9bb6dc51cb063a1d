from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

import pytest
from llamad.errors import EngineClosedError
from llamad.models.manager import ModelManager

from tests.python.support.fake_loader import PATIENCE_S, FakeEngine, FakeLoader, manager_of, run, states

if TYPE_CHECKING:
    from pathlib import Path

    from llamad.engine_protocol import EngineProtocol
    from llamad.models.specs import ModelSpec


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / f"{name}.gguf").write_bytes(b"12345")
    return tmp_path


def test_close_closes_every_engine_and_refuses_from_then_on(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiters = [asyncio.create_task(manager.get(name)) for name in ("a", "b")]
        await loader.loads(2)
        loader.finish(0)
        loader.finish(1)
        await asyncio.gather(*waiters)
        await manager.close()
        await manager.close()
        assert [engine.closed for engine in loader.engines] == [1, 1]
        assert manager.engines() == {}
        with pytest.raises(EngineClosedError):
            await manager.get("a")

    run(scenario)


def test_close_gives_up_a_load_under_way_and_answers_its_waiters(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.get("a"))
        await loader.loads(1)
        await manager.close()
        assert loader.cancelled()
        with pytest.raises(EngineClosedError):
            await waiter
        assert states(manager)["a"] == "unloaded"

    run(scenario)


def test_close_closes_the_engine_of_a_load_that_cannot_be_given_up(directory: Path) -> None:
    async def scenario() -> None:
        engine = FakeEngine()
        begun = asyncio.Event()

        async def stubborn(spec: ModelSpec) -> EngineProtocol:
            begun.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return cast("EngineProtocol", engine)

        manager = ModelManager(directory, stubborn, PATIENCE_S)
        waiter = asyncio.create_task(manager.get("a"))
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
        engines = {"a": FakeEngine(RuntimeError("stuck")), "b": FakeEngine()}

        async def load(spec: ModelSpec) -> EngineProtocol:
            return cast("EngineProtocol", engines[spec.id])

        manager = ModelManager(directory, load, PATIENCE_S)
        await manager.get("a")
        await manager.get("b")
        await manager.close()
        assert engines["b"].closed == 1

    run(scenario)
    (record,) = caplog.records
    assert record.getMessage() == "closing a failed"
    assert "stuck" in caplog.text
