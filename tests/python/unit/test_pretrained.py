"""Which file a name means, and when something is fetched; nothing here reaches a network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from llamad import ModelNotFoundError, PullError, pretrained
from llamad.models.specs import split_parts
from llamad.pretrained import model_directory, resolve
from llamad.pull import catalog

CATALOG = {"fake": dataclasses.replace(catalog()["smollm2"], member="fake_model/tiny.gguf")}


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """What has been fetched: a fake puts empty files, all parts of a split model, where the real one does."""
    calls: list[tuple[str, Path]] = []

    def pull(name: str, directory: Path, **_: Any) -> str:
        calls.append((name, directory))
        file = "tiny.gguf" if name == "fake" else name.rpartition("/")[2]
        split = split_parts(file.removesuffix(".gguf"))
        for stem in split[1] if split else [file.removesuffix(".gguf")]:
            touch(directory / f"{stem}.gguf")
        return "pulled"

    monkeypatch.setattr(pretrained, "pull", pull)
    return calls


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_name_of_the_catalog_is_fetched_once(tmp_path: Path, pulled: list[tuple[str, Path]]) -> None:
    for _ in range(2):
        assert resolve("fake", tmp_path, entries=CATALOG) == tmp_path / "tiny.gguf"
    assert pulled == [("fake", tmp_path)]


def test_a_file_of_the_hub_has_a_folder_of_its_repository(
    tmp_path: Path, pulled: list[tuple[str, Path]]
) -> None:
    touch(tmp_path / "m.gguf")
    touch(tmp_path / "b" / "other" / "m.gguf")
    for _ in range(2):
        assert resolve("hf:a/repo/m.gguf", tmp_path) == tmp_path / "a" / "repo" / "m.gguf"
    assert pulled == [("hf:a/repo/m.gguf", tmp_path / "a" / "repo")]


def test_a_split_model_is_fetched_until_all_its_parts_are_there(
    tmp_path: Path, pulled: list[tuple[str, Path]]
) -> None:
    first = touch(tmp_path / "a" / "repo" / "m-00001-of-00002.gguf")
    for name in ("hf:a/repo/m-00002-of-00002.gguf", "hf:a/repo/m-00001-of-00002.gguf"):
        assert resolve(name, tmp_path) == first
    assert len(pulled) == 1


@pytest.mark.parametrize("name", ["hf:repo/m.gguf", "hf:a/b/m.bin", "hf:a/b/../m.gguf"])
def test_a_name_of_the_hub_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(PullError, match="does not name a GGUF file"):
        resolve(name, tmp_path)


def test_a_path_means_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = touch(tmp_path / "here" / "m.gguf")
    assert resolve(path) == resolve(str(path)) == path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/here/m.gguf") == path


def test_the_id_of_a_model_in_the_directory(tmp_path: Path) -> None:
    path = touch(tmp_path / "folder" / "qwen.Q8_0.gguf")
    assert resolve("qwen.Q8_0", tmp_path) == path


def test_a_path_that_is_named_like_a_catalog_entry_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pulled: list[tuple[str, Path]]
) -> None:
    touch(tmp_path / "fake")
    monkeypatch.chdir(tmp_path)
    assert resolve(Path("fake"), tmp_path, entries=CATALOG) == Path("fake")
    assert resolve("fake", tmp_path, entries=CATALOG) == tmp_path / "tiny.gguf"


def test_an_unknown_name_says_what_there_is(tmp_path: Path) -> None:
    touch(tmp_path / "qwen.Q8_0.gguf")
    with pytest.raises(
        ModelNotFoundError, match=r"did you mean smollm2\?.*minilm, smollm2.*qwen\.Q8_0"
    ) as caught:
        resolve("smolm2", tmp_path)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(ModelNotFoundError, match="holds no model"):
        resolve("anything", tmp_path / "missing")


@pytest.mark.parametrize("make", [lambda path: path / "missing.gguf", lambda path: path])
def test_a_path_to_no_file(tmp_path: Path, make: Any) -> None:
    with pytest.raises(ModelNotFoundError, match="is not a file"):
        resolve(make(tmp_path))


def test_where_models_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LLAMAD_MODEL_DIRECTORY", raising=False)
    assert model_directory() == tmp_path / ".cache" / "llamad" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert model_directory() == Path("/cache/llamad/models")
    monkeypatch.setenv("LLAMAD_MODEL_DIRECTORY", "~/models")
    assert model_directory() == tmp_path / "models"
    assert model_directory("~/given") == tmp_path / "given"
