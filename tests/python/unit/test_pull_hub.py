from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import sys
import types
from typing import TYPE_CHECKING

import pytest
from llamad.errors import PullError
from llamad.models.specs import scan
from llamad.pull import pull

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model directory with a model in it that no pull may touch."""
    path = tmp_path / "models"
    path.mkdir()
    (path / "other.gguf").write_bytes(b"other")
    return path


def assert_untouched(directory: Path) -> None:
    assert [path.name for path in directory.iterdir()] == ["other.gguf"]
    assert (directory / "other.gguf").read_bytes() == b"other"


class FakeHub:
    """Stands in for huggingface_hub: has one content for every file, or raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.content = b"content"
        self.sent: bytes | None = None
        self.large = True
        self.error: Exception | None = None
        hub = types.ModuleType("huggingface_hub")
        errors = types.ModuleType("huggingface_hub.errors")
        no_file = type("EntryNotFoundError", (Exception,), {})
        no_repository = type("RepositoryNotFoundError", (OSError,), {})
        self.errors: dict[str, type[Exception]] = {
            "EntryNotFoundError": no_file,
            "LocalEntryNotFoundError": type("LocalEntryNotFoundError", (FileNotFoundError, no_file), {}),
            "RepositoryNotFoundError": no_repository,
            "GatedRepoError": type("GatedRepoError", (no_repository,), {}),
        }
        vars(errors).update(self.errors)
        vars(hub).update(
            errors=errors,
            hf_hub_url="{}/{}".format,
            get_hf_file_metadata=self.metadata,
            hf_hub_download=self.download,
            __spec__=importlib.machinery.ModuleSpec("huggingface_hub", None),
        )
        monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
        monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)

    def metadata(self, url: str) -> types.SimpleNamespace:
        if self.error is not None:
            raise self.error
        etag = hashlib.sha256(self.content).hexdigest() if self.large else "0" * 40
        return types.SimpleNamespace(etag=etag, size=len(self.content))

    def download(self, repo_id: str, filename: str, *, local_dir: Path) -> str:
        self.asked.append(f"{repo_id}/{filename}")
        target = local_dir / filename
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.content if self.sent is None else self.sent)
        return str(target)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    return FakeHub(monkeypatch)


def test_hub_file(directory: Path, hub: FakeHub) -> None:
    said = pull("hf:org/repo/sub/m.Q4_0.gguf", directory)
    assert said == f"pulled {directory / 'sub/m.Q4_0.gguf'}"
    assert hub.asked == ["org/repo/sub/m.Q4_0.gguf"]
    assert (directory / "sub/m.Q4_0.gguf").read_bytes() == hub.content
    assert list(scan(directory).models) == ["m.Q4_0", "other"]
    assert sorted(path.name for path in directory.iterdir()) == ["other.gguf", "sub"]


def test_a_hub_file_that_is_there_is_not_fetched_again(directory: Path, hub: FakeHub) -> None:
    pull("hf:org/repo/m.gguf", directory)
    assert "already there" in pull("hf:org/repo/m.gguf", directory)
    assert hub.asked == ["org/repo/m.gguf"]


def test_a_file_of_that_name_from_another_repository_is_left_alone(directory: Path, hub: FakeHub) -> None:
    with pytest.raises(PullError, match="not the file of org/repo; move it away"):
        pull("hf:org/repo/other.gguf", directory)
    assert_untouched(directory)


@pytest.mark.parametrize("sent", [b"CONTENT", b"conten"])
def test_a_hub_file_that_arrives_damaged(directory: Path, hub: FakeHub, sent: bytes) -> None:
    hub.sent = sent
    with pytest.raises(PullError, match=r"m\.gguf of org/repo arrived damaged; pull again"):
        pull("hf:org/repo/m.gguf", directory)
    assert_untouched(directory)
    hub.sent = None
    pull("hf:org/repo/m.gguf", directory)
    assert (directory / "m.gguf").read_bytes() == hub.content


def test_a_small_hub_file_has_no_sha256_and_is_checked_by_its_size(directory: Path, hub: FakeHub) -> None:
    hub.large = False
    pull("hf:org/repo/m.gguf", directory)
    assert (directory / "m.gguf").read_bytes() == hub.content


def test_any_part_of_a_split_model_brings_all(directory: Path, hub: FakeHub) -> None:
    said = pull("hf:org/repo/big-00002-of-00003.gguf", directory)
    assert said == f"pulled {directory / 'big-00001-of-00003.gguf'} and 2 more parts"
    assert hub.asked == [f"org/repo/big-0000{part}-of-00003.gguf" for part in (1, 2, 3)]
    assert "big" in scan(directory).models


@pytest.mark.parametrize(
    "name",
    [
        "hf:",
        "hf:m.gguf",
        "hf:org/m.gguf",
        "hf:org/repo/m.bin",
        "hf:org/repo/../m.gguf",
        "hf:/org/repo/m.gguf",
    ],
)
def test_hub_names_that_name_no_file(directory: Path, hub: FakeHub, name: str) -> None:
    with pytest.raises(PullError, match=r"expected hf:org/repo/file.gguf"):
        pull(name, directory)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("kind", "explanation"),
    [
        ("RepositoryNotFoundError", "no such repository"),
        ("GatedRepoError", "terms must be accepted"),
        ("EntryNotFoundError", "no such file"),
        ("LocalEntryNotFoundError", "cannot be reached"),
    ],
)
def test_hub_errors_are_explained(directory: Path, hub: FakeHub, kind: str, explanation: str) -> None:
    hub.error = hub.errors[kind]("404 Client Error\n\nfor url: …")
    with pytest.raises(PullError, match=rf"cannot pull m.gguf of org/repo: .*{explanation}"):
        pull("hf:org/repo/m.gguf", directory)
    assert_untouched(directory)


def test_other_hub_errors_are_cut_to_one_line(directory: Path, hub: FakeHub) -> None:
    hub.error = RuntimeError("disk on fire\ndetails")
    with pytest.raises(PullError, match=r"cannot pull m.gguf of org/repo: disk on fire$"):
        pull("hf:org/repo/m.gguf", directory)


def test_no_hub_client_installed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PullError, match=r"not installed; run `.* -m pip install huggingface_hub`"):
        pull("hf:org/repo/m.gguf", directory)
