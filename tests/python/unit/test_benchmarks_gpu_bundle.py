"""What travels to a GPU machine without a network, and the script that builds from it there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from benchmarks import gpu_bundle
from benchmarks.models import ROOT

SCRIPT = ROOT / "benchmarks" / "gpu.sh"

PYTHON = """
import os, sys
from pathlib import Path

here = Path(__file__).parent
match sys.argv[1:]:
    case ["-c", code, *_] if "version_info" in code:
        pass
    case ["-c", code, *_] if "sysconfig" in code:
        print(here)
    case ["-m", "venv", *_, directory]:
        python = Path(directory, "bin", "python")
        python.parent.mkdir(parents=True)
        python.write_text("#!/bin/sh\\necho one version\\n")
        python.chmod(0o755)
    case ["-m", "pip", *arguments]:
        targets = [one.removeprefix("build.targets=") for one in arguments if "targets" in one]
        with (here / "log").open("a") as log:
            print(*targets, file=log)
        sys.exit(any(one in os.environ["BROKEN"] for target in targets for one in target.split(";")))
    case arguments:
        os.execv(sys.executable, [sys.executable, *arguments])
"""
"""The Python of a GPU machine, as far as gpu.sh asks; it notes what pip is to compile."""

CMAKE = """#!/bin/sh
[ "$1" = --version ] && exit
shift 3
echo "$@" >> "$(dirname "$0")/log"
[ "$1" != "$BROKEN" ]
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("CMakeLists.txt", True),
        ("src/llama.cpp", True),
        ("ggml/src/ggml.c", True),
        ("ggml/src/ggml-cuda/template-instances/mmq-instance-q4_k.cu", True),
        ("ggml/src/ggml-vulkan/ggml-vulkan.cpp", False),
        ("ggml/src/ggml-rpc/ggml-rpc.cpp", True),
        ("tools/server/server.cpp", True),
        ("tools/server/tests/unit/test_basic.py", False),
        ("tools/ui/CMakeLists.txt", True),
        ("tools/ui/src/App.svelte", False),
        ("docs/build.md", False),
        ("models/ggml-vocab-gpt-2.gguf", True),
        ("models/ggml-vocab-llama-bpe.gguf", False),
    ],
)
def test_only_what_is_compiled_or_tested_travels(path: str, expected: bool) -> None:
    assert gpu_bundle.needed(PurePosixPath(path)) is expected


def test_the_archive_is_named_as_the_cache_names_it(tmp_path: Path) -> None:
    source = tmp_path / "llama.cpp-abc-def"
    for name in ("CMakeLists.txt", "docs/a.md", "src/a.cpp"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    gpu_bundle.pack_llama_cpp(source, tmp_path / "a.tar.xz")
    with tarfile.open(tmp_path / "a.tar.xz") as tar:
        assert tar.getnames() == [f"{source.name}/CMakeLists.txt", f"{source.name}/src/a.cpp"]


def test_wheels_are_asked_for_by_what_the_project_declares() -> None:
    wanted = gpu_bundle.requirements()
    assert any(text.startswith("blacksheep") for text in wanted)
    for name in ("pytest-xdist", "scikit-build-core", "pybind11", "pip"):  # the last one pulls models
        assert any(text.startswith(name) for text in wanted)
    assert not any(text.startswith(("ruff", "mypy", "clang-", "cmake")) for text in wanted)
    command = gpu_bundle.pip_download(wanted, Path("wheels"))
    assert command[-len(wanted) :] == wanted
    assert "--only-binary=:all:" in command


def test_wheels_of_an_earlier_bundle_do_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "bundle"
    stale = directory / gpu_bundle.WHEELS / "numpy-1.0-py3-none-any.whl"
    stale.parent.mkdir(parents=True)
    stale.touch()
    monkeypatch.setattr(gpu_bundle, "llama_cpp_source", lambda: tmp_path / "llama.cpp")
    monkeypatch.setattr(gpu_bundle, "smollm2", lambda: tmp_path / "smollm2.gguf")
    monkeypatch.setattr(gpu_bundle, "write_tokenizer", lambda *_: None)
    fetch = [sys.executable, "-c", f"open({str(stale.with_name('numpy-2.0-py3-none-any.whl'))!r}, 'x')"]
    monkeypatch.setattr(gpu_bundle, "pip_download", lambda *_: fetch)
    gpu_bundle.bundle(directory)
    assert [path.name for path in stale.parent.iterdir()] == ["numpy-2.0-py3-none-any.whl"]


def test_the_tree_leaves_room_for_the_bundle() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a checkout")
    # About 56 MiB were the bundle's share on 2026-11-23.
    assert gpu_bundle.size_mib(gpu_bundle.tree_files()) < 7


def test_building_without_a_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(SCRIPT), str(tmp_path), str(tmp_path / "build")],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "make gpu-bundle" in done.stderr


@pytest.mark.parametrize(
    ("broken", "code", "compiled"),
    [
        ("nothing", 0, []),
        ("llama-server", 0, ["_engine", "llama-server", "llama-batched-bench"]),
        ("_engine", 1, ["_engine"]),
    ],
)
def test_a_peer_that_does_not_build_leaves_the_rest(
    tmp_path: Path, broken: str, code: int, compiled: list[str]
) -> None:
    """On a machine without xz."""
    bundle, tools, source = (tmp_path / name for name in ("bundle", "tools", "llama.cpp-abc-def"))
    for directory in (bundle, tools, source):
        directory.mkdir()
    (source / "CMakeLists.txt").touch()
    gpu_bundle.pack_llama_cpp(source, bundle / gpu_bundle.LLAMA_CPP)
    (bundle / gpu_bundle.TOKENIZER).touch()
    scripts = {"python": f"#!{sys.executable}\n{PYTHON}", "cmake": CMAKE}
    for name in ("python", "cmake", "ctest", "ninja", "xz"):
        (tools / name).write_text(scripts.get(name, '#!/bin/sh\n[ "$1" = --version ]\n'))
        (tools / name).chmod(0o755)
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHON": str(tools / "python"),
        "BROKEN": broken,
        "LLAMAD_CACHE_DIR": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        ["bash", str(SCRIPT), str(bundle), str(tmp_path / "build")],
        check=False, capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert (tmp_path / "cache" / source.name / "CMakeLists.txt").exists()
    everything = "_engine;llama-server;llama-batched-bench"
    assert (tools / "log").read_text().split() == [everything, *compiled]
    assert ("built: one version" in done.stdout) == (code == 0)
    assert ("llama-server does not build" in done.stderr) == (broken == "llama-server")
