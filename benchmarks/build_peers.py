"""Build the peers from llamad's llama.cpp source: `python -m benchmarks.build_peers`.

These are `llama-server` and `llama-batched-bench`. A cold build takes as long as llamad's own, and then
some; it is kept in `build/peers`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.models import ROOT

LLAMA_SERVER, BATCHED_BENCH = "llama-server", "llama-batched-bench"
BUILD_DIRECTORY = ROOT / "build" / "peers"
_OPTIONS = ("LLAMAD_CUDA", "LLAMAD_NATIVE", "LLAMAD_LLAMA_CPP_DIR")
"""The build options that change how llama.cpp is compiled; from the environment, as for llamad."""


def build() -> Path:
    """Configure and build where needed, and return the directory of the binaries.

    Raises:
        CalledProcessError: CMake or the compiler failed; the reason stands on standard error.
    """
    cmake = _tool("cmake")
    configure = [cmake, "-S", str(ROOT / "benchmarks"), "-B", str(BUILD_DIRECTORY), "-G", "Ninja"]
    configure += [f"-DCMAKE_MAKE_PROGRAM={_tool('ninja')}", "-DCMAKE_BUILD_TYPE=Release"]
    configure += [f"-DPython_EXECUTABLE={sys.executable}"]
    configure += [f"-D{name}={os.environ.get(name, '')}" for name in _OPTIONS]
    compile_both = [cmake, "--build", str(BUILD_DIRECTORY), "--target", LLAMA_SERVER, BATCHED_BENCH]
    for command in (configure, compile_both):
        subprocess.run(command, check=True, stdout=sys.stderr)
    return BUILD_DIRECTORY / "bin"


def _tool(name: str) -> str:
    """The tool of this virtual environment, else the one on PATH."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


if __name__ == "__main__":
    print(build())
