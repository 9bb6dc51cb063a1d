"""Build `llama-server` from llamad's llama.cpp source: `python -m benchmarks.build_llama_server`.

A cold build takes as long as llamad's own, and then some; it is kept in `build/llama-server`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.models import ROOT

BUILD_DIRECTORY = ROOT / "build" / "llama-server"
_OPTIONS = ("LLAMAD_CUDA", "LLAMAD_NATIVE", "LLAMAD_LLAMA_CPP_DIR")
"""The build options that change how llama.cpp is compiled; from the environment, as for llamad."""


def build() -> Path:
    """Configure and build where needed, and return the path of the binary.

    Raises:
        CalledProcessError: CMake or the compiler failed; the reason stands on standard error.
    """
    cmake = _tool("cmake")
    configure = [cmake, "-S", str(ROOT / "benchmarks"), "-B", str(BUILD_DIRECTORY), "-G", "Ninja"]
    configure += [f"-DCMAKE_MAKE_PROGRAM={_tool('ninja')}", "-DCMAKE_BUILD_TYPE=Release"]
    configure += [f"-DPython_EXECUTABLE={sys.executable}"]
    configure += [f"-D{name}={os.environ.get(name, '')}" for name in _OPTIONS]
    for command in (configure, [cmake, "--build", str(BUILD_DIRECTORY), "--target", "llama-server"]):
        subprocess.run(command, check=True, stdout=sys.stderr)
    return BUILD_DIRECTORY / "bin" / "llama-server"


def _tool(name: str) -> str:
    """The tool of this virtual environment, else the one on PATH."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


if __name__ == "__main__":
    print(build())
