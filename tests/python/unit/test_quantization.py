"""What `quantize` refuses before anything is written, and what it leaves behind when it fails."""

from __future__ import annotations

import errno
import os
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from llamad import (
    ModelNotFoundError,
    ParameterError,
    QuantizationError,
    TruncatedModelError,
    cli,
    quantization_types,
    quantize,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def source(tiny_model: Path, tmp_path: Path) -> Path:
    """A model of 32 bits, alone in its directory."""
    shutil.copy(tiny_model, tmp_path / "tiny.gguf")
    return tmp_path / "tiny.gguf"


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_usual_types_are_known() -> None:
    assert {"f16", "q8_0", "q6_k", "q4_k_m", "q4_0"} <= set(quantization_types())


def test_progress_counts_the_tensors(source: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    quantize(source, tmp_path / "out.gguf", on_progress=lambda done, of: told.append((done, of)))
    total = told[0][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {of for _, of in told} == {total}
    assert total > told[0][0] == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_interrupts_leaves_nothing(source: Path, tmp_path: Path, error: type[BaseException]) -> None:
    def stop(done: int, of: int) -> None:
        raise error

    with pytest.raises(error):
        quantize(source, tmp_path / "out.gguf", on_progress=stop)
    assert names(tmp_path) == ["tiny.gguf"]


def test_a_target_is_only_replaced_on_request(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    target.write_text("mine")
    with pytest.raises(ParameterError, match="exists") as caught:
        quantize(source, target)
    assert caught.value.param == "target"
    assert target.read_text() == "mine"
    quantize(source, target, overwrite=True)
    assert target.read_bytes().startswith(b"GGUF")


def test_a_target_has_the_usual_permissions(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "out.gguf")
    (tmp_path / "other").touch()
    assert (tmp_path / "out.gguf").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("how", ["same", "symlink", "hardlink"])
def test_the_source_is_never_the_target(source: Path, tmp_path: Path, how: str) -> None:
    target = source if how == "same" else tmp_path / "link.gguf"
    if how == "symlink":
        target.symlink_to(source)
    elif how == "hardlink":
        target.hardlink_to(source)
    before = source.read_bytes()
    with pytest.raises(ParameterError, match="another file than source"):
        quantize(source, target, overwrite=True)
    assert source.read_bytes() == before


def test_the_directory_of_the_target_must_be_there(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no directory"):
        quantize(source, tmp_path / "nowhere" / "out.gguf")


@pytest.mark.parametrize("leads_to", ["other.gguf", "nowhere.gguf"])
def test_a_link_is_no_target(source: Path, tmp_path: Path, leads_to: str) -> None:
    (tmp_path / "other.gguf").write_text("mine")
    link = tmp_path / "link.gguf"
    link.symlink_to(leads_to)
    for overwrite in (False, True):
        with pytest.raises(ParameterError, match=rf"must be a file, .*a link to '{leads_to}'") as caught:
            quantize(source, link, overwrite=overwrite)
        assert caught.value.param == "target"
    assert link.is_symlink()
    assert (tmp_path / "other.gguf").read_text() == "mine"
    assert not (tmp_path / "nowhere.gguf").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("x" * 256, "File name too long"), ("y" * 300 + "/out.gguf", "File name too long"), ("a\0b", "null")],
)
def test_names_that_no_file_can_have(source: Path, tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason) as caught:
        quantize(source, tmp_path / name)
    assert caught.value.param == "target"
    assert names(tmp_path) == ["tiny.gguf"]


def test_a_name_may_be_as_long_as_names_can_be(source: Path, tmp_path: Path) -> None:
    longest = "x" * 250 + ".gguf"
    quantize(source, tmp_path / longest)
    assert names(tmp_path) == ["tiny.gguf", longest]


def test_a_directory_is_no_target(source: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ParameterError, match="must be a file"):
        quantize(source, tmp_path / "folder", overwrite=True)


def test_errors_at_the_command_line_name_its_flags(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["quantize", str(source), str(tmp_path / "out.gguf"), "--threads", "-1"]) == 2
    assert capsys.readouterr().err == "llamad: --threads must be 0 to 512, got -1\n"
    assert cli.main(["quantize", str(source), str(tmp_path / ("x" * 300))]) == 2
    assert capsys.readouterr().err.endswith("x': File name too long\n")


def test_an_unknown_type_is_named_with_what_was_meant(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r'got "q8"; did you mean q8_0\?') as caught:
        quantize(source, tmp_path / "out.gguf", type="q8")
    assert caught.value.param == "type"


def test_a_type_that_needs_an_importance_matrix_says_so(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"importance matrix.*did you mean iq4_xs\?") as caught:
        quantize(source, tmp_path / "out.gguf", type="iq2_xs")
    assert caught.value.param == "type"


def test_quantized_weights_are_refused_unless_asked_for(source: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.gguf", tmp_path / "twice.gguf"
    quantize(source, once, type="q8_0")
    with pytest.raises(ParameterError, match="quantized already") as caught:
        quantize(once, twice, type="q4_0")
    assert caught.value.param == "allow_requantize"
    assert not twice.exists()
    quantize(once, twice, type="q4_0", allow_requantize=True)
    assert twice.stat().st_size < once.stat().st_size


def test_damaged_and_missing_sources(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        quantize(tmp_path / "none.gguf", tmp_path / "out.gguf")
    source.write_bytes(source.read_bytes()[:-1000])
    with pytest.raises(TruncatedModelError):
        quantize(source, tmp_path / "out.gguf")
    assert names(tmp_path) == ["tiny.gguf"]


def test_a_full_disk_is_seen_before_it_is_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    with pytest.raises(QuantizationError, match="1 MiB are free"):
        quantize(source, tmp_path / "out.gguf")
    assert names(tmp_path) == ["tiny.gguf"]


def test_a_directory_that_cannot_be_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(QuantizationError, match=r"cannot write to .*Permission denied"):
        quantize(source, tmp_path / "out.gguf")
