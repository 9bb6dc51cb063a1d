"""What a GPU machine without a network needs beside this tree: `python -m benchmarks.gpu_bundle`.

Into `build/gpu-bundle`: the part of llama.cpp's source that is compiled, wheels for Python 3.12 on x86-64
Linux, and a tokenizer for the models that are written there. `benchmarks/gpu.sh` builds from it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from benchmarks.gpu_models import write_tokenizer
from benchmarks.models import ROOT, smollm2

if TYPE_CHECKING:
    from collections.abc import Iterable

BUNDLE = ROOT / "build" / "gpu-bundle"
LLAMA_CPP, WHEELS, TOKENIZER = "llama.cpp.tar.xz", "wheels", "tokenizer.gguf"
LIMIT_MIB = 64.0
"""Of the bundle together with the tree, as small a loan as such machines take."""

_PYTHON = "3.12"
_GLIBC = (39, 36, 35, 34, 31, 28, 27, 26, 24, 17, 12, 5)
"""Minor versions of the platform tags that are taken; pip matches each exactly."""
_DOWNLOAD_TIMEOUT_S = 900.0

_DEVELOPMENT = (
    *("gguf", "httpx", "jsonschema", "openai", "protobuf", "trustme"),
    *("pytest", "pytest-benchmark", "pytest-timeout", "pytest-xdist"),
    *("opentelemetry-api", "opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk"),
)
"""What testing takes of the extra `dev`."""

_PARTS = (
    *(
        "CMakeLists.txt",
        "LICENSE",
        "cmake",
        "common",
        "ggml",
        "grammars",
        "include",
        "licenses",
        "src",
        "vendor",
    ),
    *(f"tools/{tool}" for tool in ("batched-bench", "mtmd", "server")),
    *("tools/ui/CMakeLists.txt", "tools/ui/ui.cpp.in", "tools/ui/ui.h.in", "tools/ui/sources.cmake"),
    "scripts/ui-assets.cmake",
    *("models/templates", "models/ggml-vocab-gpt-2.gguf"),  # of the tests
)
_BACKENDS = ("ggml-cpu", "ggml-cuda", "ggml-rpc")
"""The last one is what tests take for GPUs."""
_LEFT_OUT = ("tools/server/tests", "tools/server/bench", "tools/server/themes", "tools/server/public")


def needed(path: PurePosixPath) -> bool:
    """Whether a file of llama.cpp, by its path in the source tree, is compiled or read."""
    text = str(path)
    if not _under(text, _PARTS) or _under(text, _LEFT_OUT):
        return False
    # Each of ggml's other backends is a directory of its own, of which CMake reads nothing.
    other = path.parts[:2] == ("ggml", "src") and len(path.parts) > 3 and path.parts[2] not in _BACKENDS
    return not other


def _under(path: str, directories: Iterable[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in directories)


def pack_llama_cpp(source: Path, archive: Path) -> None:
    """Pack what is needed of a llama.cpp source tree.

    Args:
        source: the tree.
        archive: the .tar.xz to write; its one directory has the tree's name, and so is what
            `cmake/fetch_llama_cpp.py` looks for in its cache.
    """
    files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    with tarfile.open(archive, "w:xz", preset=6) as tar:
        for path in files:
            if needed(PurePosixPath(path)):
                tar.add(source / path, f"{source.name}/{path}", recursive=False)


def requirements() -> list[str]:
    """What llamad depends on, what it is built with, and of its development the part that tests there.

    CMake and Ninja are on the machine.

    Raises:
        ValueError: pyproject.toml has no such development dependency any more.
    """
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = declared["project"]
    by_name = {_name(text): text for text in project["optional-dependencies"]["dev"]}
    if missing := [name for name in _DEVELOPMENT if name not in by_name]:
        raise ValueError(f"pyproject.toml's extra `dev` has no {', '.join(missing)}")
    tests = (by_name[name] for name in _DEVELOPMENT)
    return [*project["dependencies"], *declared["build-system"]["requires"], *tests]


def _name(requirement: str) -> str:
    for separator in "[=<>!~; ":
        requirement = requirement.split(separator, 1)[0]
    return requirement


def pip_download(wanted: Iterable[str], directory: Path) -> list[str]:
    """The command that downloads wheels for the other machine, with all that they need."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--python-version", _PYTHON, "--implementation", "cp"]
    for abi in (f"cp{_PYTHON.replace('.', '')}", "abi3", "none"):
        command += ["--abi", abi]
    newer, older = (
        (f"manylinux_2_{minor}" for minor in _GLIBC),
        ("manylinux2014", "manylinux2010", "manylinux1"),
    )
    for tag in (*newer, *older):
        command += ["--platform", f"{tag}_x86_64"]
    return [*command, "--dest", str(directory), *wanted]


def tree_files() -> list[Path]:
    """The files of this tree that travel: those that git knows or does not ignore."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file()]


def size_mib(files: Iterable[Path]) -> float:
    """What files take together."""
    return sum(path.stat().st_size for path in files) / 2**20


def llama_cpp_source() -> Path:
    """The source tree that llamad is built from, downloaded where it is not cached yet."""
    script = ROOT / "cmake" / "fetch_llama_cpp.py"
    found = subprocess.run([sys.executable, str(script)], check=True, stdout=subprocess.PIPE, text=True)
    return Path(found.stdout.strip())


def bundle(directory: Path) -> None:
    """Make the bundle anew; wheels come from pip's cache where that has them."""
    wheels = directory / WHEELS
    shutil.rmtree(wheels, ignore_errors=True)  # of a package in two versions pip would install neither
    wheels.mkdir(parents=True)
    pack_llama_cpp(llama_cpp_source(), directory / LLAMA_CPP)
    write_tokenizer(smollm2(), directory / TOKENIZER)
    subprocess.run(pip_download(requirements(), wheels), check=True, timeout=_DOWNLOAD_TIMEOUT_S)


def main() -> int:
    """Make the bundle, and say how large it is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_bundle", description=__doc__)
    parser.add_argument("--directory", type=Path, default=BUNDLE, help="where to (default: build/gpu-bundle)")
    directory: Path = parser.parse_args().directory
    bundle(directory)
    parts = {"bundle": size_mib(path for path in directory.rglob("*") if path.is_file())}
    parts["tree"] = size_mib(tree_files())
    total = sum(parts.values())
    sizes = ", ".join(f"{name} {mib:.1f} MiB" for name, mib in parts.items())
    print(f"{directory}: {sizes}, {total:.1f} of {LIMIT_MIB:.0f} MiB together")
    return 0 if total <= LIMIT_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
