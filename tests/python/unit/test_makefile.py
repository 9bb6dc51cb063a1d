"""When `make` builds the module again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")

ROOT = Path(__file__).parents[3]
UNSET = dict.fromkeys(("MAKEFLAGS", "MAKELEVEL", "MFLAGS"), "")
"""Where make runs the tests."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with nothing to build, and its virtual environment."""
    for name in ("python", "cpp", "cmake", "tests/cpp", ".venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("CMakeLists.txt", "pyproject.toml", ".venv/.deps"):
        (tmp_path / name).touch()
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    cmake = tmp_path / ".venv" / "bin" / "cmake"
    cmake.write_text("#!/bin/sh\n")
    cmake.chmod(0o755)
    return tmp_path


def installs(tree: Path, **options: str) -> bool:
    """Whether `make install` with these variables installs anything."""
    command = ["make", "-f", str(ROOT / "Makefile"), "install", "PIP_INSTALL=echo pip installs"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LLAMAD_")}
    done = subprocess.run(
        command,
        cwd=tree,
        env={**plain, **UNSET, **options},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return "pip installs" in done.stdout


def test_another_build_option_is_reason_enough_to_build(tree: Path) -> None:
    assert installs(tree)
    assert not installs(tree)
    for options in ({"LLAMAD_CUDA": "ON"}, {"LLAMAD_CUDA": "ON", "LLAMAD_CUDA_ARCHITECTURES": "86;89"}, {}):
        assert installs(tree, **options)
        assert not installs(tree, **options)
