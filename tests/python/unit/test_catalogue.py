"""The models that could be served, and what is configured for each."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from llamad.errors import SettingsError
from llamad.models.catalogue import Catalogue
from llamad.pull import catalog
from llamad.settings import Settings

from tests.python.support.fake_loader import FakeTime, run, write_models

if TYPE_CHECKING:
    from pathlib import Path


def catalogue(directory: Path, tables: str = "", time: FakeTime | None = None) -> Catalogue:
    write_models(directory, "ab")
    (directory / "models.toml").write_text(tables)
    return Catalogue(Settings(model_directory=directory), time or FakeTime())


def test_every_file_is_a_model_with_the_settings_of_all(tmp_path: Path) -> None:
    models = catalogue(tmp_path)
    assert list(models.definitions()) == ["a", "b"]
    found = models.find("a")
    assert found is not None
    assert (found.id, found.spec.path, found.settings.n_ctx) == ("a", tmp_path / "a.gguf", 2048)
    assert models.find("c") is None


def test_a_table_changes_what_its_model_is_loaded_with(tmp_path: Path) -> None:
    models = catalogue(tmp_path, "[models.a]\nn_ctx = 512\nchat_template = 'x'\naliases = ['it']")
    found = models.find("it")
    assert found is not None
    assert found is models.find("a")
    assert (found.engine_options()["n_ctx"], found.engine_options()["chat_template"]) == (512, "x")
    assert found.embedder_options()["n_ctx"] == 8192
    assert models.definitions()["b"].engine_options()["n_ctx"] == 2048


def test_one_file_may_be_several_models(tmp_path: Path) -> None:
    models = catalogue(
        tmp_path, "[models.long]\nfile = 'a.gguf'\nn_ctx = 9000\n[models.short]\nfile='a.gguf'"
    )
    assert list(models.definitions()) == ["a", "b", "long", "short"]
    long, short = models.definitions()["long"], models.definitions()["short"]
    assert long.spec.path == short.spec.path == tmp_path / "a.gguf"
    assert not long.loads_like(short)
    assert short.loads_like(models.definitions()["a"])


def test_what_was_pulled_answers_to_the_name_it_was_pulled_by(tmp_path: Path) -> None:
    pulled = catalog()["smollm2"].file_name.removesuffix(".gguf")
    write_models(tmp_path, [pulled])
    models = catalogue(tmp_path)
    found = models.find("smollm2")
    assert found is not None
    assert (found.id, models.aliases(pulled), models.aliases("a")) == (pulled, ("smollm2",), ())
    assert models.find("minilm") is None
    (tmp_path / "models.toml").write_text("[models.a]\naliases = ['smollm2']")
    found = Catalogue(Settings(model_directory=tmp_path), FakeTime()).find("smollm2")
    assert found is not None
    assert found.id == "a"  # what is configured goes before


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    models = catalogue(tmp_path, "[models.a]\nlora_adapters = ['b.gguf']")
    assert list(models.definitions()) == ["a"]
    assert models.definitions()["a"].engine_options()["lora_adapters"] == [(str(tmp_path / "b.gguf"), 1.0)]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("[models.aa]", "there is no model 'aa'; did you mean a?"),
        ("[models.x]\nfile = 'x.gguf'", "there is no model file"),
        ("[models.b]\nfile = 'a.gguf'", "hides the file of the same name"),
        ("[models.a]\naliases = ['b']", "the alias 'b' is the name of a model"),
    ],
)
def test_what_does_not_go_together_is_logged_once(
    tmp_path: Path, table: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        time = FakeTime()
        models = catalogue(tmp_path, table, time)
        for _ in range(3):
            await models.refresh()
            time.now += 10
        found = models.find("b")
        assert found is not None

    run(scenario)
    assert len(caplog.records) == 1
    assert problem in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [("n_batch = 1\nn_parallel = 4", "n_batch"), ("main_gpu = 99", "number of a GPU")],
)
def test_settings_that_are_fine_only_one_by_one_are_told_at_once(
    tmp_path: Path, settings: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=rf'\[models\."a"\]: .*{message}'):
        catalogue(tmp_path, f"[models.a]\n{settings}")


def test_a_directory_that_is_gone_is_told_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        time = FakeTime()
        models = catalogue(tmp_path, time=time)
        assert models.find("a") is not None
        await asyncio.to_thread(tmp_path.rename, tmp_path.with_name("moved"))
        for _ in range(2):
            time.now += 10
            await models.refresh()
        assert models.find("a") is None

    run(scenario)
    assert caplog.messages == [f"{tmp_path}: cannot be read: No such file or directory"]


def test_the_directory_is_looked_at_at_most_once_a_second(tmp_path: Path) -> None:
    async def scenario() -> None:
        time = FakeTime()
        models = catalogue(tmp_path, time=time)
        assert await models.refresh()
        (tmp_path / "c.gguf").touch()
        time.now += 0.9
        assert not await models.refresh()
        assert models.find("c") is None
        time.now += 0.1
        assert await models.refresh()
        assert models.find("c") is not None

    run(scenario)


def test_a_look_is_shared_and_outlives_who_asked_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        models = catalogue(tmp_path)
        first, second = asyncio.create_task(models.refresh()), asyncio.create_task(models.refresh())
        await asyncio.sleep(0)
        first.cancel()
        assert await second
        assert list(models.definitions()) == ["a", "b"]

    run(scenario)


def test_a_definition_knows_whether_its_file_has_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        time = FakeTime()
        models = catalogue(tmp_path, "[models.b]\nlora_adapters = ['l']", time)
        before = models.definitions()
        time.now += 10
        await models.refresh()
        assert models.definitions()["a"] is not before["a"]
        assert models.definitions()["a"].loads_like(before["a"])

        (tmp_path / "new").write_bytes(b"12345")
        (tmp_path / "new").replace(tmp_path / "a.gguf")
        (tmp_path / "l").write_bytes(b"an adapter")
        time.now += 10
        await models.refresh()
        assert not models.definitions()["a"].loads_like(before["a"]), "another file of the same size"
        assert not models.definitions()["b"].loads_like(before["b"])

    run(scenario)


def test_reload_reads_the_tables_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        models = catalogue(tmp_path)
        before = models.definitions()["a"]
        (tmp_path / "models.toml").write_text("[models.a]\nn_ctx = 512")
        await models.reload(Settings(model_directory=tmp_path, n_parallel=1))
        after = models.definitions()["a"]
        assert (after.settings.n_ctx, after.settings.n_parallel) == (512, 1)
        assert not after.loads_like(before)

        (tmp_path / "models.toml").write_text("[models.a]\nn_ctxx = 512")
        with pytest.raises(SettingsError):
            await models.reload(Settings(model_directory=tmp_path))
        assert models.definitions()["a"] is after

    run(scenario)


def test_what_does_not_change_the_engine_needs_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        models = catalogue(tmp_path)
        before = models.definitions()["a"]
        os.utime(tmp_path)
        (tmp_path / "models.toml").write_text("[models.a]\npinned = true\nkeep_alive = 5\naliases = ['x']")
        await models.reload(Settings(model_directory=tmp_path))
        assert models.definitions()["a"].loads_like(before)

    run(scenario)
