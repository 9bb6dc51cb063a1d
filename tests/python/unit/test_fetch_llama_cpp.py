"""The build's download of llama.cpp: whole or not at all, once, whoever asks at the same time."""

import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "cmake" / "fetch_llama_cpp.py"
ROOT = "llama_cpp_python-9.9.9"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fetch_llama_cpp", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


fetcher = load_script()


def write_archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{ROOT}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    files = {
        "pyproject.toml": b"[project]",
        "vendor/llama.cpp/CMakeLists.txt": b"project(llama.cpp)",
        "vendor/llama.cpp/src/llama.cpp": os.urandom(200_000),
        "vendor/other/README": b"not wanted",
    }
    return write_archive(tmp_path / "sdist.tar.gz", files)


def pin_of(archive: Path, **changes: str) -> dict[str, str]:
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    return {
        "package": "llama-cpp-python",
        "version": "9.9.9",
        "sha256": sha256,
        "commit": "abcdef123",
    } | changes


Script = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def script(tmp_path: Path, cache: Path) -> Script:
    """Start the script as CMake does, with a pin and an archive of our own."""

    def start(archive: Path, pin: dict[str, str]) -> subprocess.Popen[str]:
        pin_file = tmp_path / "pin.json"
        pin_file.write_text(json.dumps(pin), encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), "--pin", str(pin_file), "--archive", str(archive)],
            env=os.environ | {"LLAMAD_CACHE_DIR": str(cache)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def nothing_half_made(cache: Path) -> bool:
    return all(path.suffix == ".lock" for path in cache.iterdir())


def test_only_the_vendored_tree_is_unpacked(script: Script, archive: Path, cache: Path) -> None:
    pin = pin_of(archive)
    process = script(archive, pin)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    directory = Path(out.strip())
    assert directory == cache / f"llama.cpp-abcdef123-{pin['sha256'][:12]}"
    assert (directory / "CMakeLists.txt").read_text() == "project(llama.cpp)"
    assert sorted(path.name for path in directory.iterdir()) == ["CMakeLists.txt", "src"]
    assert sorted(path.suffix for path in cache.iterdir() if path != directory) == [".lock"]


def test_two_builds_at_once_share_one_download(archive: Path, cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "downloads"
    program = (
        f"import sys, time; sys.path.insert(0, {str(SCRIPT.parent)!r}); import fetch_llama_cpp as f\n"
        "from pathlib import Path\n"
        "def download(pin, directory):\n"
        f"    open({str(log)!r}, 'a').write('x'); time.sleep(0.5); return Path({str(archive)!r})\n"
        f"print(f.fetch(f.Pin(**{pin_of(archive)!r}), Path({str(cache)!r}), download))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    directories = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(directories) == 1
    assert (Path(directories.pop()) / "src" / "llama.cpp").stat().st_size == 200_000
    assert log.read_text() == "x"


def test_a_cached_source_is_not_downloaded_again(archive: Path, cache: Path) -> None:
    pin = fetcher.Pin(**pin_of(archive))
    first = fetcher.fetch(pin, cache, lambda _pin, _directory: archive)

    def refuse(_pin: object, _directory: Path) -> Path:
        raise AssertionError("downloaded again")

    assert fetcher.fetch(pin, cache, refuse) == first


def test_a_wrong_hash_leaves_nothing_and_says_what_to_do(script: Script, archive: Path, cache: Path) -> None:
    process = script(archive, pin_of(archive, sha256="0" * 64))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert "SHA-256" in err
    assert "retry" in err
    assert "LLAMAD_LLAMA_CPP_DIR" in err
    assert nothing_half_made(cache)


def test_a_truncated_download_fails_its_hash(script: Script, archive: Path, cache: Path) -> None:
    pin = pin_of(archive)
    archive.write_bytes(archive.read_bytes()[:-1000])
    process = script(archive, pin)
    assert "SHA-256" in process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert nothing_half_made(cache)


def test_an_archive_that_breaks_off_leaves_nothing(archive: Path, cache: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:100_000])
    pin = fetcher.Pin(**pin_of(archive))
    with pytest.raises(fetcher.FetchError, match="cannot be unpacked"):
        fetcher.fetch(pin, cache, lambda _pin, _directory: archive)
    assert nothing_half_made(cache)


def test_an_archive_without_llama_cpp_is_refused(cache: Path, tmp_path: Path) -> None:
    other = write_archive(tmp_path / "other.tar.gz", {"vendor/other/CMakeLists.txt": b""})
    with pytest.raises(fetcher.FetchError, match=r"holds no vendor/llama\.cpp"):
        fetcher.fetch(fetcher.Pin(**pin_of(other)), cache, lambda _pin, _directory: other)
    assert nothing_half_made(cache)


def test_a_member_may_not_leave_the_directory(cache: Path, tmp_path: Path) -> None:
    files = {"vendor/llama.cpp/CMakeLists.txt": b"", "vendor/llama.cpp/../../../../../escaped": b"x"}
    evil = write_archive(tmp_path / "evil.tar.gz", files)
    with pytest.raises(fetcher.FetchError, match="cannot be unpacked"):
        fetcher.fetch(fetcher.Pin(**pin_of(evil)), cache, lambda _pin, _directory: evil)
    assert not (tmp_path / "escaped").exists()
    assert nothing_half_made(cache)


def test_a_killed_builds_leftovers_are_cleared(archive: Path, cache: Path) -> None:
    pin = fetcher.Pin(**pin_of(archive))
    leftover = cache / f".{pin.directory_name}-killed"
    (leftover / "unpacked").mkdir(parents=True)
    fetcher.fetch(pin, cache, lambda _pin, _directory: archive)
    assert not leftover.exists()


def test_pip_that_fails_is_quoted(cache: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(fetcher.FetchError, match="No matching distribution"):
        fetcher.fetch(fetcher.Pin(**pin_of(archive)), cache, fetcher.download_with_pip)
    assert nothing_half_made(cache)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LLAMAD_CACHE_DIR": "/a/b", "XDG_CACHE_HOME": "/c"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/llamad"),
        ({"LLAMAD_CACHE_DIR": "", "HOME": "/home/me"}, "/home/me/.cache/llamad"),
    ],
)
def test_cache_directory(environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LLAMAD_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(fetcher.cache_root()) == expected
