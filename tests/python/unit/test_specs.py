from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from llamad.models.specs import Scan, scan, split_parts

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write files of the given sizes under a fresh model directory and return the directory."""
    directory = tmp_path / "models"
    directory.mkdir()

    def write(*names: str, size: int = 1) -> Path:
        for name in names:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)
        return directory

    return write


def ids(directory: Path) -> dict[str, str]:
    """Model id -> the file it stands for, relative to the directory."""
    return {name: str(spec.path.relative_to(directory)) for name, spec in scan(directory).models.items()}


def test_no_directory_and_an_empty_one_have_no_models(tmp_path: Path) -> None:
    assert scan(tmp_path) == Scan({}, ())
    assert scan(tmp_path / "none") == Scan({}, ("cannot be read: No such file or directory",))


def test_a_directory_that_may_not_be_read_is_not_taken_for_an_empty_one() -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name, "a.gguf").write_bytes(b"x")
        Path(name).chmod(0o311)
        try:
            if user == 0:  # who may read everything
                os.seteuid(65534)
            found = scan(Path(name))
        finally:
            os.seteuid(user)
            Path(name).chmod(0o700)
    assert found == Scan({}, ("cannot be read: Permission denied",))


def test_every_gguf_at_any_depth_is_a_model(put: Put) -> None:
    directory = put("b.gguf", "a.Q4_0.gguf", "sub/deep/c.gguf")
    assert ids(directory) == {"a.Q4_0": "a.Q4_0.gguf", "b": "b.gguf", "c": "sub/deep/c.gguf"}
    assert list(scan(directory).models) == ["a.Q4_0", "b", "c"]


def test_size_and_time_come_from_the_file(put: Put) -> None:
    directory = put("a.gguf", size=123)
    os.utime(directory / "a.gguf", (1000, 1700000000.9))
    spec = scan(directory).models["a"]
    assert (spec.size_bytes, spec.created) == (123, 1700000000)
    assert spec.path == directory / "a.gguf"


def test_what_is_no_model(put: Put) -> None:
    directory = put(
        ".hidden.gguf",
        ".cache/x.gguf",
        "a.gguf.part",
        "b.bin",
        "mmproj-model-f16.gguf",
        "MMPROJ.gguf",
        "README.md",
        "gguf",
    )
    (directory / "folder.gguf").mkdir()
    assert scan(directory).models == {}
    assert scan(directory).problems == ()


def test_a_split_model_is_one_model(put: Put) -> None:
    directory = put("big-00001-of-00003.gguf", size=10)
    put("big-00002-of-00003.gguf", "big-00003-of-00003.gguf", size=20)
    spec = scan(directory).models["big"]
    assert list(scan(directory).models) == ["big"]
    assert [path.name for path in spec.paths] == [f"big-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    assert spec.path.name == "big-00001-of-00003.gguf"
    assert spec.size_bytes == 50


def test_an_incomplete_split_model_is_left_out_and_says_what_is_missing(put: Put) -> None:
    directory = put("s/big-00002-of-00003.gguf", "ok.gguf")
    found = scan(directory)
    assert list(found.models) == ["ok"]
    (problem,) = found.problems
    assert problem.startswith("s/big: ")
    assert "s/big-00001-of-00003.gguf, s/big-00003-of-00003.gguf" in problem


def test_many_missing_parts_make_a_short_problem(put: Put) -> None:
    (problem,) = scan(put("big-00001-of-09999.gguf")).problems
    assert "and 9995 more" in problem
    assert len(problem) < 200


def test_parts_in_two_folders_do_not_make_a_model(put: Put) -> None:
    found = scan(put("a/big-00001-of-00002.gguf", "b/big-00002-of-00002.gguf"))
    assert found.models == {}
    assert len(found.problems) == 2


@pytest.mark.parametrize(
    "stem", ["big", "big-1-of-2", "big-00000-of-00002", "big-00003-of-00002", "-00001-of-00001"]
)
def test_names_that_only_look_split(stem: str, put: Put) -> None:
    assert split_parts(stem) is None
    assert list(scan(put(f"{stem}.gguf")).models) == [stem]


def test_the_file_nearest_the_top_keeps_the_name_and_the_others_get_their_path(put: Put) -> None:
    directory = put("a/m.gguf", "b/m.gguf", "m.gguf", "b/c/m.gguf")
    assert ids(directory) == {
        "m": "m.gguf",
        "a/m": "a/m.gguf",
        "b/m": "b/m.gguf",
        "b/c/m": "b/c/m.gguf",
    }


def test_at_one_depth_the_first_path_keeps_the_name(put: Put) -> None:
    assert ids(put("b/m.gguf", "a/m.gguf")) == {"m": "a/m.gguf", "b/m": "b/m.gguf"}


def test_a_split_and_an_unsplit_model_of_one_name_are_both_reachable(put: Put) -> None:
    first = "m-00001-of-00001"
    directory = put("m.gguf", f"{first}.gguf", "s/m.gguf", f"s/{first}.gguf")
    assert ids(directory) == {
        "m": "m.gguf",
        first: f"{first}.gguf",
        "s/m": "s/m.gguf",
        f"s/{first}": f"s/{first}.gguf",
    }


def test_two_splits_of_one_name_are_both_reachable(put: Put) -> None:
    directory = put("m-00001-of-00001.gguf", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf")
    assert ids(directory) == {"m": "m-00001-of-00001.gguf", "m-00001-of-00002": "m-00001-of-00002.gguf"}


def test_links_are_followed_only_inside_the_directory(put: Put, tmp_path: Path) -> None:
    directory = put("real.gguf", "sub/x.gguf")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.gguf").write_bytes(b"x")
    (directory / "alias.gguf").symlink_to("real.gguf")
    (directory / "secret.gguf").symlink_to(outside / "secret.gguf")
    (directory / "folder").symlink_to(outside)
    (directory / "loop").symlink_to(directory)
    (directory / "broken.gguf").symlink_to("nothing.gguf")
    (directory / "circle.gguf").symlink_to("circle.gguf")
    found = scan(directory)
    assert list(found.models) == ["alias", "real", "x"]
    assert {problem.partition(":")[0] for problem in found.problems} == {
        "secret.gguf",
        "folder",
        "loop",
        "broken.gguf",
        "circle.gguf",
    }


def test_a_model_directory_that_links_to_itself_has_no_models(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    assert scan(tmp_path / "circle").models == {}


def test_the_model_directory_itself_may_be_a_link(put: Put, tmp_path: Path) -> None:
    directory = put("a.gguf")
    link = tmp_path / "link"
    link.symlink_to(directory)
    assert scan(link).models["a"].path == link / "a.gguf"
    assert scan(link).problems == ()


def test_a_name_that_is_not_utf8_is_a_problem(put: Put) -> None:
    directory = put("a.gguf")
    name = os.fsencode(directory) + b"/\xff.gguf"
    try:
        Path(os.fsdecode(name)).touch()
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    found = scan(directory)
    assert list(found.models) == ["a"]
    assert "not UTF-8" in found.problems[0]


def test_something_that_is_not_a_file_is_a_problem(put: Put) -> None:
    directory = put("a.gguf")
    os.mkfifo(directory / "pipe.gguf")
    found = scan(directory)
    assert list(found.models) == ["a"]
    assert found.problems == ("pipe.gguf: not a file",)


def test_a_folder_that_may_be_listed_but_not_entered_hides_no_other_model() -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        directory = Path(name)
        (directory / "a.gguf").write_bytes(b"x")
        (directory / "locked" / "below").mkdir(parents=True)
        directory.chmod(0o755)
        (directory / "locked").chmod(0o444)
        try:
            if user == 0:  # who may enter everything
                os.seteuid(65534)
            found = scan(directory)
        finally:
            os.seteuid(user)
            (directory / "locked").chmod(0o755)
    assert list(found.models) == ["a"]
    assert found.problems == ("locked/below: Permission denied",)
