from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING, cast

import pytest
from llamad.errors import (
    InvalidModelError,
    ModelLoadError,
    ModelLoadingError,
    ParameterError,
    UnknownModelError,
)
from llamad.models.manager import ModelManager

from tests.python.support.fake_loader import PATIENCE_S, Clock, FakeLoader, manager_of, run, settled, states
from tests.python.support.tiny_embedders import write_embedder

if TYPE_CHECKING:
    from pathlib import Path

    from llamad.engine_protocol import EmbedderProtocol


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / f"{name}.gguf").write_bytes(b"12345")
    return tmp_path


def test_entries_describe_the_files(directory: Path) -> None:
    async def scenario() -> None:
        manager = manager_of(directory, FakeLoader())
        entry = manager.entries()[0]
        assert (entry.id, entry.path, entry.size_bytes) == ("a", directory / "a.gguf", 5)
        assert entry.created == int((directory / "a.gguf").stat().st_mtime)
        assert entry.state == "unloaded"
        assert manager.engines() == {}

    run(scenario)


def test_a_model_loads_once_however_many_ask(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiters = [asyncio.create_task(manager.get("a")) for _ in range(20)]
        await loader.loads(1)
        assert states(manager) == {"a": "loading", "b": "unloaded"}
        engine = loader.finish()
        assert await asyncio.gather(*waiters) == [engine] * 20
        assert await manager.get("a") is engine
        assert loader.started == ["a"]
        assert states(manager) == {"a": "loaded", "b": "unloaded"}
        assert manager.engines() == {"a": engine}

    run(scenario)


def test_two_models_load_side_by_side(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiters = [asyncio.create_task(manager.get(name)) for name in ("a", "b")]
        await loader.loads(2)
        later, earlier = loader.finish(1), loader.finish(0)
        expected = dict(
            zip(loader.started, (earlier, later), strict=True)
        )  # their headers are read in any order
        assert await asyncio.gather(*waiters) == [expected["a"], expected["b"]]

    run(scenario)


def test_a_cancelled_waiter_cancels_nothing_for_others(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        leaver, stayer = (asyncio.create_task(manager.get("a")) for _ in range(2))
        await loader.loads(1)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        engine = loader.finish()
        assert await stayer is engine

    run(scenario)


def test_a_load_goes_on_when_everybody_has_left(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.get("a"))
        await loader.loads(1)
        waiter.cancel()
        await asyncio.wait({waiter})
        engine = loader.finish()
        assert await manager.get("a") is engine
        assert loader.started == ["a"]

    run(scenario)


def test_a_waiter_gives_up_after_the_timeout_and_the_load_goes_on(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader, load_timeout=0.01)
        with pytest.raises(ModelLoadingError, match=r"'a' is still loading after 0\.01 s"):
            await manager.get("a")
        assert states(manager)["a"] == "loading"
        engine = loader.finish()
        await settled(manager, "a")
        assert await manager.get("a") is engine

    run(scenario)


def test_a_failed_load_answers_all_waiters_and_is_tried_again_on_the_next_request(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiters = [asyncio.create_task(manager.get("a")) for _ in range(3)]
        await loader.loads(1)
        reason = InvalidModelError("not a GGUF")
        loader.fail(reason)
        assert await asyncio.gather(*waiters, return_exceptions=True) == [reason] * 3
        assert states(manager)["a"] == "failed"
        assert loader.started == ["a"]

        waiter = asyncio.create_task(manager.get("a"))
        await loader.loads(2)
        assert states(manager)["a"] == "loading"
        engine = loader.finish()
        assert await waiter is engine

    run(scenario)


@pytest.mark.parametrize(
    "error", [MemoryError("no room"), TimeoutError("slow disk"), ValueError("bad option")]
)
def test_whatever_goes_wrong_in_a_load_is_a_model_error(directory: Path, error: Exception) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.get("a"))
        await loader.loads(1)
        loader.fail(error)
        with pytest.raises(ModelLoadError, match=f"'a' could not be loaded: {error}") as caught:
            await waiter
        assert caught.value.__cause__ is error

    run(scenario)


def test_a_failure_that_nobody_waits_for_is_logged_not_reported_by_asyncio(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.get("a"))
        await loader.loads(1)
        waiter.cancel()
        await asyncio.wait({waiter})
        loader.fail(InvalidModelError("not a GGUF"))
        await settled(manager, "a")
        assert states(manager)["a"] == "failed"

    run(scenario)
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "loading a failed: not a GGUF"
    ]


def test_an_unknown_model_names_those_there_are(
    directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def scenario() -> None:
        manager = manager_of(directory, FakeLoader())
        with pytest.raises(UnknownModelError, match=r"'c'.*: a, b") as caught:
            await manager.get("c")
        assert (caught.value.model, caught.value.known) == ("c", ["a", "b"])

        empty = manager_of(tmp_path_factory.mktemp("empty"), FakeLoader())
        with pytest.raises(UnknownModelError, match="holds none") as caught:
            await empty.get("c")
        assert caught.value.known == []

    run(scenario)


def test_an_unknown_model_of_many_is_answered_in_few_words() -> None:
    known = [f"model-{number:03}" for number in range(100)]
    message = str(UnknownModelError("x" * 10_000, known))
    assert "x" * 60 + "…" in message
    assert "model-019 and 80 more" in message
    assert "model-020" not in message
    assert len(message) < 400


def test_files_that_come_and_go_are_noticed(directory: Path) -> None:
    async def scenario() -> None:
        manager = manager_of(directory, FakeLoader())
        assert list(states(manager)) == ["a", "b"]
        (directory / "a.gguf").unlink()
        (directory / "c.gguf").touch()
        assert list(states(manager)) == ["b", "c"]
        with pytest.raises(UnknownModelError):
            await manager.get("a")

    run(scenario)


def test_the_directory_is_looked_at_at_most_once_a_second(directory: Path) -> None:
    async def scenario() -> None:
        clock = Clock(step=0.0)
        manager = manager_of(directory, FakeLoader(), clock=clock)
        assert list(states(manager)) == ["a", "b"]
        (directory / "c.gguf").touch()
        clock.now = 0.9
        assert list(states(manager)) == ["a", "b"]
        clock.now = 1.0
        assert list(states(manager)) == ["a", "b", "c"]

    run(scenario)


def test_a_loaded_model_whose_file_is_gone_is_served_and_listed(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.get("a"))
        await loader.loads(1)
        engine = loader.finish()
        await waiter
        (directory / "a.gguf").unlink()
        assert states(manager) == {"a": "loaded", "b": "unloaded"}
        assert await manager.get("a") is engine
        with pytest.raises(UnknownModelError) as caught:
            await manager.get("c")
        assert caught.value.known == ["a", "b"]

    run(scenario)


def test_a_problem_of_the_directory_is_logged_once(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    (directory / "big-00001-of-00002.gguf").touch()
    manager = ModelManager(directory, FakeLoader(), PATIENCE_S, clock=Clock())
    for _ in range(3):
        manager.entries()
    assert len(caplog.records) == 1
    assert "big-00002-of-00002.gguf" in caplog.text


def test_a_model_is_loaded_only_for_what_it_is_made_for(tmp_path: Path) -> None:
    write_embedder("mean", tmp_path / "embedder.gguf")
    write_embedder("rank", tmp_path / "ranker.gguf")

    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(tmp_path, loader)
        with pytest.raises(ParameterError, match="'embedder' cannot generate text: it embeds") as caught:
            await manager.get("embedder")
        assert caught.value.param == "model"
        with pytest.raises(ParameterError, match="'embedder' cannot rerank: it embeds"):
            await manager.get_embedder("embedder", "rerank")
        with pytest.raises(ParameterError, match="'ranker' cannot embed: it reranks"):
            await manager.get_embedder("ranker", "embed")
        assert loader.started == []

        waiters = [asyncio.create_task(manager.get_embedder("embedder", "embed")) for _ in range(2)]
        await loader.loads(1)
        engine = cast("EmbedderProtocol", loader.finish())
        assert [await waiter for waiter in waiters] == [engine, engine]
        assert manager.engines() == {}
        assert manager.embedders() == {"embedder": engine}
        with pytest.raises(ParameterError, match="cannot generate text"):
            await manager.get("embedder")
        (tmp_path / "embedder.gguf").unlink()
        assert await manager.get_embedder("embedder", "embed") is engine

    run(scenario)


def test_a_preloaded_model_may_be_made_for_anything(tmp_path: Path) -> None:
    write_embedder("mean", tmp_path / "embedder.gguf")

    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(tmp_path, loader)
        preload = asyncio.create_task(manager.preload("embedder"))
        await loader.loads(1)
        loader.finish()
        await preload
        assert states(manager) == {"embedder": "loaded"}

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
