"""`--allocator`: run the server on another memory allocator than the C library's.

An allocator can only be exchanged while a process starts, so the process starts again, as itself: same id,
same arguments, with `LD_PRELOAD` naming the library.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

_PRELOAD = "LD_PRELOAD"

_M_ARENA_MAX = -8
"""The number in glibc's malloc.h."""


def use(name: str) -> None:
    """Return if this process runs on the allocator; else start it again, on the allocator.

    Args:
        name: "system", "jemalloc" or "mimalloc".

    Raises:
        SettingsError: its library is not there, or could not be preloaded.
    """
    if name == "system":
        _limit_arenas()
        return
    preloaded = _preloaded(os.environ)
    if _is_mapped(name):
        # What this process starts in its turn runs on what it likes.
        _set_preloaded(os.environ, [path for path in preloaded if not _is_library(name, Path(path).name)])
        return
    library = find(name)
    if library is None:
        raise SettingsError(
            f"--allocator {name}: there is no lib{name}.so; install it "
            f"(Debian and Ubuntu: {_PACKAGES[name]}), or use --allocator system"
        )
    if str(library) in preloaded:
        # Once is enough: where the loader ignores it (a set-uid program, another libc), it always will.
        raise SettingsError(f"--allocator {name}: {library} could not be preloaded")
    environ = dict(os.environ)
    _set_preloaded(environ, [str(library), *preloaded])
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)  # noqa: S606 - no shell is wanted


def _limit_arenas() -> None:
    """Let the C library's allocator serve all threads from two heaps, if it is glibc's.

    Each engine brings threads, and glibc gives new threads heaps of their own, up to eight for each core,
    which keep what models that are gone leave between what is still used. Where thousands of models had come
    and gone, the server held 44 MiB with two heaps, and 88 with as many as glibc likes.
    """
    if "MALLOC_ARENA_MAX" in os.environ:  # somebody knows better
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_M_ARENA_MAX, 2)


def find(name: str) -> Path | None:
    """Return the allocator's library: what the loader's cache knows, else what lies in the usual places."""
    return next((path for path in _candidates(name) if path.is_file()), None)


_PACKAGES = {"jemalloc": "libjemalloc2", "mimalloc": "libmimalloc2.0"}
ALLOCATORS = ("system", *_PACKAGES)
"""What `use` knows."""


def _candidates(name: str) -> Iterator[Path]:
    if ldconfig := shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        known = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False).stdout
        for line in known.splitlines():
            soname, _, path = line.strip().partition(" ")
            if _is_library(name, soname):
                yield Path(path.rpartition("=> ")[2])
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    prefixes = (Path("/usr/local"), Path("/usr"), Path(sys.prefix))
    for folder in (prefix / "lib" / part for prefix in prefixes for part in ("", multiarch)):
        yield from sorted(path for path in folder.glob(f"lib{name}.so*") if _is_library(name, path.name))
    yield from sorted(Path("/usr/lib64").glob(f"lib{name}.so*"))


def _is_library(name: str, file_name: str) -> bool:
    return re.fullmatch(rf"lib{name}\.so(\.\d+)*", file_name) is not None


def _is_mapped(name: str) -> bool:
    with Path("/proc/self/maps").open(errors="replace") as maps:
        return any(_is_library(name, line.rstrip().rpartition("/")[2]) for line in maps)


def _preloaded(environ: MutableMapping[str, str]) -> list[str]:
    return re.split(r"[ :]+", environ[_PRELOAD]) if environ.get(_PRELOAD) else []


def _set_preloaded(environ: MutableMapping[str, str], libraries: list[str]) -> None:
    environ.pop(_PRELOAD, None)
    if libraries:
        environ[_PRELOAD] = ":".join(libraries)
