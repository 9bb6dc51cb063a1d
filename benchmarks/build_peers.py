"""Build the peers from llamad's llama.cpp source: `python -m benchmarks.build_peers`.

These are `llama-server` and `llama-batched-bench`; with `python -m benchmarks.build_peers llama-cpp-python`
the Python package whose source distribution that llama.cpp comes from, in a virtual environment of its own.
A cold build takes as long as llamad's own, and then some; each is kept in `build`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.models import ROOT

LLAMA_SERVER, BATCHED_BENCH, LLAMA_CPP_PYTHON = "llama-server", "llama-batched-bench", "llama-cpp-python"
BUILD_DIRECTORY = ROOT / "build" / "peers"
PYTHON_PEER_DIRECTORY = ROOT / "build" / LLAMA_CPP_PYTHON
_OPTIONS = (
    *("LLAMAD_CUDA", "LLAMAD_CUDA_ARCHITECTURES", "LLAMAD_CUBLAS_PYTHON"),
    *("LLAMAD_NATIVE", "LLAMAD_LLAMA_CPP_DIR"),
)
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


def build_llama_cpp_python() -> Path:
    """Build and install llama-cpp-python where it is not yet, and return the interpreter that has it.

    The wheel is built with the tools of this virtual environment and kept, so that an interrupted
    installation does not compile again.

    Raises:
        CalledProcessError: pip, CMake or the compiler failed; the reason stands on standard error.
    """
    pin = json.loads((ROOT / "cmake" / "llama_cpp_pin.json").read_text())
    flavour = "native" if _native() else "portable"
    package, directory = pin["package"], PYTHON_PEER_DIRECTORY / f"{pin['version']}-{flavour}"
    python, done = directory / "venv" / "bin" / "python", directory / ".installed"
    if done.exists():
        return python
    directory.mkdir(parents=True, exist_ok=True)
    pinned = directory / "requirements.txt"
    pinned.write_text(f"{package}=={pin['version']} --hash=sha256:{pin['sha256']}\n")
    pip = ("-m", "pip", "--disable-pip-version-check")
    wheel = [sys.executable, *pip, "wheel", "--no-deps", "--no-build-isolation", "--no-binary", package]
    wheel += ["--wheel-dir", str(directory), "--requirement", str(pinned)]
    environment = os.environ | {"CMAKE_ARGS": " ".join(_python_peer_flags()), "CMAKE_GENERATOR": "Ninja"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    if not (wheels := list(directory.glob("*.whl"))):
        subprocess.run(wheel, check=True, stdout=sys.stderr, env=environment)
        wheels = list(directory.glob("*.whl"))
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(directory / "venv")],
        [str(python), *pip, "install", "--quiet", *map(str, wheels)],
    ):
        subprocess.run(command, check=True, stdout=sys.stderr)
    done.touch()
    return python


def _python_peer_flags() -> list[str]:
    """What makes llama-cpp-python's llama.cpp the same as llamad's: see `cmake/llama_cpp.cmake`.

    Its own build of the vision library and of what downloads models takes time and is not used here.
    """
    from llamad import _engine  # noqa: PLC0415 - building the other peers needs no llamad

    return [
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DGGML_NATIVE={'ON' if _native() else 'OFF'}",
        f"-DGGML_CUDA={'ON' if _engine.cuda else 'OFF'}",
        "-DLLAMA_OPENSSL=OFF",
        "-DLLAVA_BUILD=OFF",
    ]


def _native() -> bool:
    return os.environ.get("LLAMAD_NATIVE", "") != "OFF"


def _tool(name: str) -> str:
    """The tool of this virtual environment, else the one on PATH."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


def main() -> None:
    """Build what is asked for and print where it is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.build_peers", description=__doc__)
    parser.add_argument("peer", nargs="?", choices=("servers", LLAMA_CPP_PYTHON), default="servers")
    print(build() if parser.parse_args().peer == "servers" else build_llama_cpp_python())


if __name__ == "__main__":
    main()
