"""`EngineLoader` with real models: what it makes of which, and that a load can be given up."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from llamad import _engine
from llamad.async_embedder import AsyncEmbedder
from llamad.async_engine import AsyncEngine
from llamad.errors import InvalidModelError
from llamad.models.catalogue import Catalogue
from llamad.models.loader import EngineLoader
from llamad.settings import Settings

from tests.python.support.damaged_gguf import write_not_a_gguf
from tests.python.support.fake_loader import run, until
from tests.python.support.tiny_embedders import write_embedder
from tests.python.support.tiny_gguf import TinyModel, write_tiny_model

if TYPE_CHECKING:
    from typing import Any

    from llamad.models.catalogue import Definition
    from llamad.models.metadata import ModelKind

pytestmark = pytest.mark.timeout(120)


def definition(path: Path, **settings: Any) -> Definition:
    usual: dict[str, Any] = {"n_ctx": 128, "threads": 1}
    found = Catalogue(Settings(model_directory=path.parent, **(usual | settings))).find(path.stem)
    assert found is not None
    return found


def load_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("llamad-load")]


def nothing(_: float) -> None:
    """Take no interest in progress."""


@pytest.mark.skipif(len(_engine.devices()) > 1, reason="there is a GPU")
def test_layers_for_gpus_that_are_not_there_are_a_warning(tiny_model: Path) -> None:
    for n_gpu_layers, warned in ((99, True), (-1, True), (0, False), ("auto", False)):
        options: dict[str, Any] = {"model_path": str(tiny_model), "n_gpu_layers": n_gpu_layers}
        _engine.take_log_lines()
        assert _engine.place(_engine.EngineConfig(**options), {})["n_gpu_layers"] == 0
        said = [text for _, text in _engine.take_log_lines() if "sees no GPU" in text]
        assert [f"n_gpu_layers is {n_gpu_layers}, " in text for text in said] == [True] * warned


def test_it_makes_what_the_file_is_for_and_estimates_it(tiny_model: Path, tmp_path: Path) -> None:
    write_embedder("mean", tmp_path / "embedder.gguf")

    async def scenario() -> None:
        afters: list[None] = []
        loader = EngineLoader(lambda: afters.append(None))
        generates, embeds = definition(tiny_model), definition(tmp_path / "embedder.gguf")
        kinds: tuple[tuple[Definition, ModelKind], ...] = ((generates, "generate"), (embeds, "embed"))
        for one, kind in kinds:
            devices = (await loader.estimate(one, kind, {})).memory
            sizes = [device["weights"] + device["context"] + device["compute"] for device in devices]
            assert sum(sizes) >= one.spec.size_bytes / 2
        seen: list[float] = []
        engine = await loader.load(generates, "generate", 0, {}, seen.append)
        assert isinstance(engine, AsyncEngine)
        assert engine.info.n_ctx == 128
        assert seen
        other = await loader.load(embeds, "embed", 0, {}, nothing)
        assert isinstance(other, AsyncEmbedder)
        await asyncio.gather(engine.close(), other.close())
        assert len(afters) == 4
        await until(lambda: not load_threads())

    run(scenario)


def test_a_larger_context_needs_more(tiny_model: Path) -> None:
    async def scenario() -> None:
        loader = EngineLoader()
        needs = []
        for n_ctx in (256, 2048):
            estimate = await loader.estimate(definition(tiny_model, n_ctx=n_ctx), "generate", {})
            needs.append(sum(one["context"] for one in estimate.memory))
        assert needs[1] > 4 * needs[0]

    run(scenario)


def test_what_is_no_model_is_told_by_estimate_and_load(tmp_path: Path) -> None:
    write_not_a_gguf(tmp_path / "bad.gguf")

    async def scenario() -> None:
        loader, bad = EngineLoader(), definition(tmp_path / "bad.gguf")
        with pytest.raises(InvalidModelError):
            await loader.estimate(bad, "generate", {})
        with pytest.raises(InvalidModelError):
            await loader.load(bad, "generate", 0, {}, nothing)

    run(scenario)


def test_a_load_can_be_given_up_and_ends_with_its_thread(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "large.gguf", TinyModel(n_layers=8, width=256))

    async def scenario() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def first(_: float) -> None:
            loop.call_soon_threadsafe(begun.set)

        loading = asyncio.create_task(EngineLoader().load(definition(path), "generate", 0, {}, first))
        await begun.wait()
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        await until(lambda: not load_threads())

    run(scenario)


def test_without_memory_for_it_the_prefix_cache_on_disk_is_left_out(tiny_model: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        one = definition(tiny_model, prefix_cache_dir=tmp_path / "cache")
        loader = EngineLoader()
        await loader.estimate(one, "generate", {})
        for mib in (0, 16):
            engine = await loader.load(one, "generate", mib, {}, nothing)
            await engine.close()
        assert (tmp_path / "cache").is_dir()

    run(scenario)
