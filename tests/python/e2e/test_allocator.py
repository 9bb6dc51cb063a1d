"""`--allocator`: the process starts again on another allocator, once, and says so where it cannot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from llamad import allocator
from llamad.errors import SettingsError

from tests.python.support.server_process import ONE_THREAD, get, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An allocator by name only: an empty library, which leaves malloc to the C library."""
    path = tmp_path_factory.mktemp("lib") / "libjemalloc.so.2"
    subprocess.run(["cc", "-shared", "-x", "c", "-o", str(path), "-"], input=b"", check=True, timeout=60)
    return path


@pytest.fixture
def _only_there(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_candidates", lambda _: iter([library]))


def mapped(pid: int) -> set[str]:
    maps = Path(f"/proc/{pid}/maps").read_text()
    return set(re.findall(r"\S+/(lib(?:jemalloc|mimalloc)\S*)", maps))


@pytest.fixture
def found() -> Iterator[str]:
    names = [name for name in allocator.ALLOCATORS if name != "system" and allocator.find(name)]
    if not names:
        pytest.skip("neither jemalloc nor mimalloc is installed")
    yield from names[:1]


def test_server_runs_on_it(tiny_model: Path, tmp_path: Path, found: str) -> None:
    flags = ("--allocator", found, "--n-ctx", "512", *ONE_THREAD)
    with serving(tiny_model.parent, *flags, log_path=tmp_path / "server.log") as server:
        assert {name.partition(".")[0] for name in mapped(server.pid)} == {f"lib{found}"}
        with server.client() as client:
            answer = client.completions.create(model="tiny", prompt="hello", max_tokens=4)
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 4


def test_process_starts_again_once(library: Path, tmp_path: Path) -> None:
    """As itself: same process, same arguments; what it starts in its turn does not inherit the library."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from llamad import allocator\n"
        f"allocator._candidates = lambda name: iter([Path({str(library)!r})])\n"
        "print('run', os.getpid(), sys.argv[1:], os.environ.get('LD_PRELOAD'), flush=True)\n"
        "allocator.use('jemalloc')\n"
        "print('on', 'libjemalloc' in Path('/proc/self/maps').read_text(), os.environ.get('LD_PRELOAD'))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), "--a", "b c"], capture_output=True, text=True, check=True, timeout=60
    )
    first, second, last = done.stdout.splitlines()
    assert first.endswith(" ['--a', 'b c'] None")
    assert second == first.replace("None", str(library))
    assert last == "on True None"


@pytest.mark.usefixtures("_only_there")
def test_library_that_the_loader_ignores_is_no_loop(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", f"/some/other.so:{library}")  # and yet it is not in this process
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("started again"))
    with pytest.raises(SettingsError, match="could not be preloaded"):
        allocator.use("jemalloc")


@pytest.mark.usefixtures("_only_there")
def test_what_was_preloaded_before_stays(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setenv("LD_PRELOAD", "/some/other.so")
    monkeypatch.setattr(os, "execve", lambda _path, _arguments, environ: started.append(environ))
    allocator.use("jemalloc")
    (environ,) = started
    assert environ["LD_PRELOAD"] == f"{library}:/some/other.so"


def test_missing_library_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_candidates", lambda _: iter([Path("/nowhere/libjemalloc.so.2")]))
    with pytest.raises(SettingsError, match=r"there is no libjemalloc\.so; install it .*libjemalloc2"):
        allocator.use("jemalloc")


def test_system_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("started again"))
    allocator.use("system")


def test_server_without_one_has_none(tiny_model: Path, tmp_path: Path) -> None:
    with serving(tiny_model.parent, *ONE_THREAD, log_path=tmp_path / "server.log") as server:
        assert mapped(server.pid) == set()
        assert get(f"{server.url}/healthz")[0] == 200
