"""Files and settings that change while their models are loaded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from llamad.errors import SettingsError, UnknownModelError
from llamad.models.manager import ModelManager
from llamad.settings import Settings

from tests.python.support.fake_loader import FakeLoader, FakeTime, manager_of, quiet, run, states, until


class Shop:
    """A manager of one model."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write(b"12345")
        self.loader = FakeLoader()
        self.time = FakeTime()
        self.manager: ModelManager = manager_of(directory, self.loader, time=self.time)

    def write(self, content: bytes) -> None:
        new = self.directory / "a.new"
        new.write_bytes(content)
        new.replace(self.directory / "a.gguf")

    async def replace(self, content: bytes) -> None:
        """Change the file, and let a second pass."""
        self.write(content)
        await self.time.advance(1.1)

    async def load(self) -> None:
        task = asyncio.create_task(self.manager.load("a"))
        await self.loader.loads(len(self.loader.started) + 1)
        self.loader.finish()
        await task


def test_files_that_come_and_go_are_noticed(tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path)
        assert list(states(shop.manager)) == ["a"]
        (tmp_path / "a.gguf").unlink()
        (tmp_path / "c.gguf").touch()
        await shop.time.advance(1.1)
        assert [entry.id for entry in await shop.manager.read_entries()] == ["c"]
        with pytest.raises(UnknownModelError):
            await shop.manager.lease("a", "generate")

    run(scenario)


def test_a_loaded_model_whose_file_is_gone_is_served_and_listed(tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path)
        await shop.load()
        (tmp_path / "a.gguf").unlink()
        await shop.time.advance(1.1)
        assert [(one.id, one.state) for one in await shop.manager.read_entries()] == [("a", "loaded")]
        (await shop.manager.lease("a", "generate")).release()
        with pytest.raises(UnknownModelError) as caught:
            await shop.manager.lease("c", "generate")
        assert caught.value.known == ["a"]
        await shop.manager.unload("a")
        with pytest.raises(UnknownModelError):
            await shop.manager.lease("a", "generate")

    run(scenario)


def test_an_idle_model_whose_file_has_changed_is_replaced_by_the_next_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path)
        await shop.load()
        await shop.replace(b"123456")
        waiter = asyncio.create_task(shop.manager.lease("a", "generate"))
        await shop.loader.loads(2)
        assert shop.loader.engines[0].closed == 1
        assert shop.loader.definitions[1].spec.size_bytes == 6
        engine = shop.loader.finish()
        assert (await waiter).engine is engine
        assert shop.manager.statistics().counters.unloads == {"a": 1}

    run(scenario)


def test_a_busy_model_whose_file_has_changed_serves_on_for_a_turn_and_then_is_replaced(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path)
        await shop.load()
        held = await shop.manager.lease("a", "generate")
        await shop.replace(b"123456")
        again = await shop.manager.lease("a", "generate")
        assert again.engine is held.engine
        again.release()
        await shop.time.advance(2.1)
        late = asyncio.create_task(shop.manager.lease("a", "generate"))
        await quiet()
        assert not late.done()
        assert shop.loader.engines[0].closed == 0
        held.release()
        await shop.loader.loads(2)
        engine = shop.loader.finish()
        assert (await late).engine is engine

    run(scenario)


def test_a_file_that_changes_while_it_is_loaded_is_loaded_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path)
        waiter = asyncio.create_task(shop.manager.lease("a", "generate"))
        await shop.loader.loads(1)
        await shop.replace(b"123456")
        await shop.manager.read_entries()
        old = shop.loader.finish()
        lease = await waiter
        assert lease.engine is old, "it serves those who have waited for it"
        lease.release()
        await until(lambda: states(shop.manager)["a"] == "unloaded")
        await shop.load()
        assert shop.loader.definitions[1].spec.size_bytes == 6

    run(scenario)


def test_a_file_that_changes_before_it_is_loaded_is_estimated_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path)
        await shop.load()
        await shop.manager.unload("a")
        await shop.load()
        assert shop.loader.estimated == ["a"]
        await shop.manager.unload("a")
        await shop.replace(b"123456")
        await shop.load()
        assert shop.loader.estimated == ["a", "a"]

    run(scenario)


def test_reload_replaces_a_model_that_is_loaded_otherwise_now_when_it_is_idle(tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path)
        await shop.load()
        held = await shop.manager.lease("a", "generate")
        (tmp_path / "models.toml").write_text("[models.a]\nn_ctx = 512")
        await shop.manager.reload(Settings(model_directory=tmp_path, prefix_cache_mib=0))
        assert states(shop.manager)["a"] == "loaded"
        held.release()
        await until(lambda: states(shop.manager)["a"] == "unloaded")
        await shop.load()
        assert shop.loader.definitions[1].settings.n_ctx == 512

    run(scenario)


def test_reload_changes_what_needs_no_other_engine_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path)
        await shop.load()
        (tmp_path / "models.toml").write_text("[models.a]\nsampling = { top_k = 1 }\nkeep_alive = 3")
        await shop.manager.reload(Settings(model_directory=tmp_path, prefix_cache_mib=0))
        lease = await shop.manager.lease("a", "generate")
        assert lease.sampling == {"top_k": 1}
        lease.release()
        assert len(shop.loader.started) == 1
        await shop.time.advance(3.1)
        await until(lambda: states(shop.manager)["a"] == "unloaded")

    run(scenario)


def test_a_wrong_table_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path)
        await shop.load()
        (tmp_path / "models.toml").write_text("[models.a]\nn_ctxx = 512")
        with pytest.raises(SettingsError, match="did you mean n_ctx"):
            await shop.manager.reload(Settings(model_directory=tmp_path, n_ctx=99))
        (await shop.manager.lease("a", "generate")).release()
        assert len(shop.loader.started) == 1

    run(scenario)
