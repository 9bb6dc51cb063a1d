#!/usr/bin/env bash
# Builds llamad with CUDA, llama-server and llama-batched-bench on a machine without a network, from what
# `make gpu-bundle` has collected: benchmarks/gpu.sh [BUNDLE [BUILD]], by default build/gpu-bundle and build/gpu.
#
# Needs nvcc of CUDA 12 or 13, CMake, Ninja, a C++20 compiler and Python 3.12 with headers and pip. It compiles for
# the GPU that is there; LLAMAD_CUDA_ARCHITECTURES=90 compiles for another, LLAMAD_CUDA=OFF for none, to try it all on
# a CPU. A build that is cut off goes on where it was. Then: BUILD/venv/bin/python -m benchmarks.gpu
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
    "$python" -c 'import sys, pip; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null && host_python=$python && break
done
[ -n "$host_python" ] || { echo "No Python 3.12 with pip: name one in PYTHON" >&2; exit 1; }
step() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

mkdir -p "$build"
step "virtual environment"
# Without pip, so that a Python without ensurepip does too: the pip outside installs into it.
[ -x "$build/venv/bin/python" ] || "$host_python" -m venv --without-pip "$build/venv"
python=$build/venv/bin/python
pip() { "$host_python" -m pip --python "$python" --disable-pip-version-check "$@"; }
pip install --quiet --no-index --no-deps "$bundle"/wheels/*.whl

step "llama.cpp's source"
# Where cmake/fetch_llama_cpp.py looks before it would download.
export LLAMAD_CACHE_DIR=${LLAMAD_CACHE_DIR:-$build/cache}
root=$(tar -tf "$bundle/llama.cpp.tar.xz" | sed -n '1s|/.*||p;1q' || true)
if [ ! -d "$LLAMAD_CACHE_DIR/$root" ]; then
    mkdir -p "$build/unpacking" "$LLAMAD_CACHE_DIR"
    tar -xf "$bundle/llama.cpp.tar.xz" -C "$build/unpacking"
    mv "$build/unpacking/$root" "$LLAMAD_CACHE_DIR/$root"
fi

step "compiling"
export LLAMAD_CUDA=${LLAMAD_CUDA:-ON} LLAMAD_PEERS=ON
# Where the toolkit has no cuBLAS, the package that PyTorch brought along has it.
export LLAMAD_CUBLAS_PYTHON=${LLAMAD_CUBLAS_PYTHON:-$(command -v "$host_python")}
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
# Everything in one run of Ninja, in the directory that keeps what a cut-off build has compiled.
pip install --verbose --no-index --no-deps --no-build-isolation --force-reinstall -C build-dir="$build/module" \
    -C "build.targets=_engine;llama-server;llama-batched-bench" . 2>&1 | tee "$build/build.log" |
    awk '/llamad: |rror|FAILED|Successfully/ || (/^ *\[[0-9]+\/[0-9]+\]/ && n++ % 25 == 0) { print; fflush() }' ||
    { tail -n 60 "$build/build.log"; exit 1; }
step "built: $("$python" -m llamad --version | tr '\n' ' ')"
