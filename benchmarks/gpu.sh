#!/usr/bin/env bash
# Builds llamad with CUDA, llama-server and llama-batched-bench on a machine without a network, from what
# `make gpu-bundle` has collected: benchmarks/gpu.sh [BUNDLE [BUILD]], by default build/gpu-bundle and build/gpu.
#
# Needs nvcc of CUDA 12 or 13, CMake, Ninja, a C++20 compiler and Python 3.12 with headers and pip. It compiles for
# the GPU that is there; LLAMAD_CUDA_ARCHITECTURES=90 compiles for another, LLAMAD_CUDA=OFF for none, to try it all on
# a CPU. A build that is cut off goes on where it was, and a peer that does not build does not end it. Then:
# BUILD/venv/bin/python -m benchmarks.gpu
set -euo pipefail

cd "$(dirname "$0")/.."
bundle=$(realpath "${1:-build/gpu-bundle}")
build=$(realpath -m "${2:-build/gpu}")
for needed in "$bundle/llama.cpp.tar.xz" "$bundle/tokenizer.gguf"; do
    [ -f "$needed" ] || { echo "$needed is missing: make gpu-bundle, on a machine with a network" >&2; exit 1; }
done
# The wheels are for 3.12. A plain python3 first: where PyTorch is installed, that one has it.
host_python=
for python in ${PYTHON:-python3 python3.12}; do
    "$python" -c 'import sys, sysconfig, pathlib, pip, venv
headers = pathlib.Path(sysconfig.get_path("include"), "Python.h")
sys.exit(sys.version_info[:2] != (3, 12) or not headers.exists())' 2>/dev/null && host_python=$python && break
done
[ -n "$host_python" ] || { echo "No Python 3.12 with pip and headers: name one in PYTHON" >&2; exit 1; }
# CMake and Ninja may be packages of that Python.
PATH=$("$host_python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))'):$PATH
for tool in cmake ctest ninja; do
    "$tool" --version >/dev/null || { echo "No $tool on PATH that works" >&2; exit 1; }
done
step() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

mkdir -p "$build"
step "virtual environment"
# Without pip, so that a Python without ensurepip does too: the pip outside installs into it.
[ -x "$build/venv/bin/python" ] || "$host_python" -m venv --without-pip "$build/venv"
python=$build/venv/bin/python
pip() { "$host_python" -m pip --python "$python" --disable-pip-version-check "$@"; }
pip install --quiet --no-index --no-deps "$bundle"/wheels/*.whl
# Where `benchmarks.gpu` looks for them first.
for tool in cmake ctest ninja; do
    [ -x "$build/venv/bin/$tool" ] || ln -sf "$(command -v "$tool")" "$build/venv/bin/$tool"
done

step "llama.cpp's source"
# Where cmake/fetch_llama_cpp.py looks before it would download.
export LLAMAD_CACHE_DIR=${LLAMAD_CACHE_DIR:-$build/cache}
archive=$bundle/llama.cpp.tar.xz
# Python unpacks it, for tar would need xz.
root=$("$host_python" -c 'import sys, tarfile; print(tarfile.open(sys.argv[1]).next().name.split("/")[0])' "$archive")
if [ ! -d "$LLAMAD_CACHE_DIR/$root" ]; then
    mkdir -p "$build/unpacking" "$LLAMAD_CACHE_DIR"
    "$host_python" -m tarfile --filter data --extract "$archive" "$build/unpacking"
    mv "$build/unpacking/$root" "$LLAMAD_CACHE_DIR/$root"
fi

step "compiling"
export LLAMAD_CUDA=${LLAMAD_CUDA:-ON} LLAMAD_PEERS=ON
# Where the toolkit has no cuBLAS, the package that PyTorch brought along has it.
export LLAMAD_CUBLAS_PYTHON=${LLAMAD_CUBLAS_PYTHON:-$(command -v "$host_python")}
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
install() { # TARGETS, in the directory that keeps what a cut-off build has compiled
    pip install --verbose --no-index --no-deps --no-build-isolation --force-reinstall \
        -C build-dir="$build/module" -C "build.targets=$1" . 2>&1 | tee "$build/build.log" |
        awk '/llamad: |rror|FAILED|Successfully/ || (/^ *\[[0-9]+\/[0-9]+\]/ && n++ % 25 == 0) { print; fflush() }' ||
        { tail -n 60 "$build/build.log"; return 1; }
}
# Everything in one run of Ninja, unless that fails.
install "_engine;llama-server;llama-batched-bench" || {
    step "compiling one after the other"
    install _engine || exit 1
    for peer in llama-server llama-batched-bench; do
        cmake --build "$build/module" --target "$peer" || echo "$peer does not build: it will not be measured" >&2
    done
}
version=$("$python" -m llamad --version)
step "built: ${version//$'\n'/ }"
