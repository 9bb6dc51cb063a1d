"""Leases and loads: one load however many ask, and what becomes of those who wait for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from llamad.errors import (
    ModelLoadingError,
    ParameterError,
    QueueFullError,
)

from tests.python.support.fake_loader import (
    FakeLoader,
    manager_of,
    quiet,
    run,
    states,
    until,
    write_models,
)
from tests.python.support.tiny_embedders import write_embedder

if TYPE_CHECKING:
    from pathlib import Path

    from llamad.engine_protocol import EmbedderProtocol


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_models(tmp_path, "ab")
    return tmp_path


def test_entries_describe_the_files(directory: Path) -> None:
    async def scenario() -> None:
        manager = manager_of(directory, FakeLoader())
        entry = manager.entries()[0]
        assert (entry.id, entry.path, entry.size_bytes) == ("a", directory / "a.gguf", 5)
        assert entry.created == int((directory / "a.gguf").stat().st_mtime)
        assert (entry.state, entry.memory_bytes, entry.progress) == ("unloaded", None, None)
        assert manager.engines() == {}

    run(scenario)


def test_a_model_loads_once_however_many_ask(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiters = [asyncio.create_task(manager.lease("a", "generate")) for _ in range(20)]
        await loader.loads(1)
        assert states(manager) == {"a": "loading", "b": "unloaded"}
        assert manager.statistics().waiting == {"a": 20}
        engine = loader.finish()
        leases = await asyncio.gather(*waiters)
        assert [lease.engine for lease in leases] == [engine] * 20
        assert (await manager.lease("a", "generate")).engine is engine
        assert (loader.started, loader.estimated) == (["a"], ["a"])
        assert states(manager) == {"a": "loaded", "b": "unloaded"}
        assert manager.engines() == {"a": engine}
        assert manager.statistics().waiting == {}
        assert manager.statistics().counters.loads == {"a": 1}

    run(scenario)


def test_two_models_load_side_by_side(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiters = [asyncio.create_task(manager.lease(name, "generate")) for name in ("a", "b")]
        await loader.loads(2)
        later, earlier = loader.finish(1), loader.finish(0)
        # Their headers are read in any order.
        expected = dict(zip(loader.started, (earlier, later), strict=True))
        leases = await asyncio.gather(*waiters)
        assert [lease.engine for lease in leases] == [expected["a"], expected["b"]]

    run(scenario)


def test_progress_is_told_while_it_loads(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.lease("a", "generate"))
        await loader.loads(1)
        loader.progress[0](0.5)
        entry = manager.entries()[0]
        assert (entry.state, entry.progress) == ("loading", 0.5)
        loader.finish()
        await waiter
        assert manager.entries()[0].progress is None

    run(scenario)


def test_a_cancelled_waiter_cancels_nothing_for_others(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        leaver, stayer = (asyncio.create_task(manager.lease("a", "generate")) for _ in range(2))
        await loader.loads(1)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        assert manager.statistics().waiting == {"a": 1}
        engine = loader.finish()
        assert (await stayer).engine is engine

    run(scenario)


def test_a_waiter_that_leaves_as_it_is_served_gives_its_lease_back(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.lease("a", "generate"))
        await loader.loads(1)
        loader.finish()
        # Which is before the waiter runs again.
        while states(manager)["a"] != "loaded":  # noqa: ASYNC110
            await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await manager.unload("a")
        assert states(manager)["a"] == "unloaded"

    run(scenario)


def test_a_load_goes_on_when_everybody_has_left(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.lease("a", "generate"))
        await loader.loads(1)
        waiter.cancel()
        await asyncio.wait({waiter})
        engine = loader.finish()
        assert (await manager.lease("a", "generate")).engine is engine
        assert loader.started == ["a"]

    run(scenario)


def test_a_waiter_gives_up_after_the_timeout_and_the_load_goes_on(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader, load_timeout=0.01)
        with pytest.raises(ModelLoadingError, match=r"'a' is not loaded after 0\.01 s"):
            await manager.lease("a", "generate")
        await loader.loads(1)
        assert states(manager)["a"] == "loading"
        engine = loader.finish()
        await until(lambda: states(manager)["a"] == "loaded")
        assert (await manager.lease("a", "generate")).engine is engine

    run(scenario)


def test_only_so_many_wait_for_one_model(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader, n_parallel=2, max_queue=1)
        waiters = [asyncio.create_task(manager.lease("a", "generate")) for _ in range(3)]
        await loader.loads(1)
        with pytest.raises(QueueFullError, match="3 requests wait for model 'a' to be loaded"):
            await manager.lease("a", "generate")
        other = asyncio.create_task(manager.lease("b", "generate"))
        await loader.loads(2)
        waiters[0].cancel()
        await asyncio.wait({waiters[0]})
        waiters[0] = asyncio.create_task(manager.lease("a", "generate"))
        await quiet()
        engine = loader.finish(0)
        assert [(await waiter).engine for waiter in waiters] == [engine] * 3
        other.cancel()

    run(scenario)


def test_a_model_is_loaded_only_for_what_it_is_made_for(tmp_path: Path) -> None:
    write_embedder("mean", tmp_path / "embedder.gguf")
    write_embedder("rank", tmp_path / "ranker.gguf")

    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(tmp_path, loader)
        with pytest.raises(ParameterError, match="'embedder' cannot generate text: it embeds") as caught:
            await manager.lease("embedder", "generate")
        assert caught.value.param == "model"
        with pytest.raises(ParameterError, match="'embedder' cannot rerank: it embeds"):
            await manager.lease("embedder", "rerank")
        with pytest.raises(ParameterError, match="'ranker' cannot embed: it reranks"):
            await manager.lease("ranker", "embed")
        assert loader.started == []

        waiters = [asyncio.create_task(manager.lease("embedder", "embed")) for _ in range(2)]
        await loader.loads(1)
        engine = cast("EmbedderProtocol", loader.finish())
        assert [(await waiter).engine for waiter in waiters] == [engine, engine]
        assert manager.engines() == {}
        assert manager.embedders() == {"embedder": engine}
        with pytest.raises(ParameterError, match="cannot generate text"):
            await manager.lease("embedder", "generate")
        (tmp_path / "embedder.gguf").unlink()
        assert (await manager.lease("embedder", "embed")).engine is engine

    run(scenario)


def test_entries_say_what_the_files_say_once_these_are_read(directory: Path) -> None:
    write_embedder("mean", directory / "c.gguf")

    async def scenario() -> None:
        manager = manager_of(directory, FakeLoader())
        assert [entry.metadata for entry in manager.entries()] == [None, None, None]
        read = {entry.id: entry.metadata for entry in await manager.read_entries()}
        assert (read["a"], read["b"]) == (None, None), "they are no GGUFs"
        assert read["c"] is not None
        assert read["c"].kind == "embed"
        assert {entry.id: entry.metadata for entry in manager.entries()} == read

    run(scenario)


def test_an_alias_leads_to_the_model_and_its_defaults(directory: Path) -> None:
    (directory / "models.toml").write_text(
        "[models.a]\naliases = ['gpt-4o']\nsampling = { temperature = 0.5 }"
    )

    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.lease("gpt-4o", "generate"))
        await loader.loads(1)
        loader.finish()
        lease = await waiter
        assert (lease.model_id, lease.sampling) == ("a", {"temperature": 0.5})
        assert manager.entries()[0].aliases == ("gpt-4o",)
        assert loader.started == ["a"]

    run(scenario)
