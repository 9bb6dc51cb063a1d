"""Loads that fail, and models that are not there."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING

import pytest
from llamad.errors import (
    InvalidModelError,
    LoadFailedError,
    ModelLoadError,
    ParameterError,
    UnknownModelError,
)
from llamad.models import keeper, metadata

from tests.python.support.fake_loader import (
    FakeLoader,
    FakeTime,
    manager_of,
    quiet,
    run,
    states,
    until,
    write_models,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_models(tmp_path, "ab")
    return tmp_path


def test_a_failed_load_answers_all_waiters_and_is_tried_again_on_the_next_request(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiters = [asyncio.create_task(manager.lease("a", "generate")) for _ in range(3)]
        await loader.loads(1)
        loader.fail(InvalidModelError(f"'{directory}/a.gguf' is no GGUF"))
        outcomes = await asyncio.gather(*waiters, return_exceptions=True)
        expected = "model 'a' could not be loaded: 'a.gguf' is no GGUF"
        assert [str(outcome) for outcome in outcomes] == [expected] * 3
        assert states(manager)["a"] == "failed"
        assert manager.entries()[0].error == expected
        await quiet()
        assert loader.started == ["a"]

        waiter = asyncio.create_task(manager.lease("a", "generate"))
        await loader.loads(2)
        assert states(manager)["a"] == "loading"
        engine = loader.finish()
        assert (await waiter).engine is engine
        assert manager.entries()[0].error is None
        assert manager.statistics().counters.load_failures == {"a": 1}

    run(scenario)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("no room"), "MemoryError: no room"),
        (TimeoutError("slow disk"), "TimeoutError: slow disk"),
        (ParameterError("n_ctx is too large", param="n_ctx"), "n_ctx is too large"),
    ],
)
def test_whatever_goes_wrong_in_a_load_is_a_model_error(
    directory: Path, error: Exception, reason: str
) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.lease("a", "generate"))
        await loader.loads(1)
        loader.fail(error)
        with pytest.raises(ModelLoadError, match=f"'a' could not be loaded: {reason}") as caught:
            await waiter
        assert caught.value.__cause__ is error

    run(scenario)


def test_a_model_whose_need_cannot_be_estimated_fails_as_its_load_would(directory: Path) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        loader.estimate_error = InvalidModelError("no GGUF")
        manager = manager_of(directory, loader)
        for _ in range(2):
            with pytest.raises(LoadFailedError, match="'a' could not be loaded: no GGUF"):
                await manager.lease("a", "generate")
        assert (loader.estimated, loader.started) == (["a", "a"], [])
        assert states(manager)["a"] == "failed"
        loader.estimate_error = None
        waiter = asyncio.create_task(manager.lease("a", "generate"))
        await loader.loads(1)
        loader.finish()
        await waiter

    run(scenario)


def test_a_failure_that_nobody_waits_for_is_logged_not_reported_by_asyncio(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        loader = FakeLoader()
        manager = manager_of(directory, loader)
        waiter = asyncio.create_task(manager.lease("a", "generate"))
        await loader.loads(1)
        waiter.cancel()
        await asyncio.wait({waiter})
        loader.fail(InvalidModelError("not a GGUF"))
        await until(lambda: states(manager)["a"] == "failed")

    run(scenario)
    gc.collect()
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    # The file is none, and so its header cannot be read either.
    assert [record.name for record in warnings] == [metadata.__name__, keeper.__name__]
    assert warnings[1].getMessage() == "loading a failed: not a GGUF"


def test_an_unknown_model_names_those_there_are(
    directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def scenario() -> None:
        manager = manager_of(directory, FakeLoader())
        with pytest.raises(UnknownModelError, match=r"'c'.*: a, b") as caught:
            await manager.lease("c", "generate")
        assert (caught.value.model, caught.value.known) == ("c", ["a", "b"])

        empty = manager_of(tmp_path_factory.mktemp("empty"), FakeLoader())
        with pytest.raises(UnknownModelError, match="holds none") as caught:
            await empty.lease("c", "generate")
        assert caught.value.known == []

    run(scenario)


def test_an_unknown_model_of_many_is_answered_in_few_words() -> None:
    known = [f"model-{number:03}" for number in range(100)]
    message = str(UnknownModelError("x" * 10_000, known))
    assert "x" * 60 + "…" in message
    assert "model-019 and 80 more" in message
    assert "model-020" not in message
    assert len(message) < 400


def test_a_model_that_leaves_the_directory_while_it_waits_for_memory_is_unknown(directory: Path) -> None:
    async def scenario() -> None:
        loader, time = FakeLoader(), FakeTime()
        loader.sizes = {"a": 1 << 40, "b": 1 << 40}
        manager = manager_of(directory, loader, budget=3 << 39, time=time)
        first = asyncio.create_task(manager.lease("a", "generate"))
        await loader.loads(1)
        loader.finish()
        lease = await first
        second = asyncio.create_task(manager.lease("b", "generate"))
        await until(lambda: loader.estimated == ["a", "b"])
        assert states(manager)["b"] == "queued"
        (directory / "b.gguf").unlink()
        time.now += 1.5
        await manager.read_entries()
        lease.release()
        with pytest.raises(UnknownModelError):
            await second

    run(scenario)
