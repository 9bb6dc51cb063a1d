"""The stand-in for libcuda.so: calls reach the driver if there is one, else fail and say so."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "cpp" / "engine" / "cuda_driver" / "cuda_driver.cpp"
TOOLKIT = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
COMPILER = shutil.which("c++")

pytestmark = pytest.mark.skipif(
    COMPILER is None or not (TOOLKIT / "include" / "cuda.h").exists(),
    reason="needs a compiler and CUDA's headers",
)

PROGRAM = """
#include <cuda.h>
#include <cstdio>
int main() {
    CUdevice device = -1;
    const CUresult result = cuDeviceGet(&device, 3);
    size_t granularity = 0;
    cuMemGetAllocationGranularity(&granularity, nullptr, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED);
    const char* text = nullptr;
    cuGetErrorString(result, &text);
    std::printf("%d %d %zu %s", static_cast<int>(result), device, granularity, text);
}
"""
DRIVER = """
#include <cuda.h>
CUresult CUDAAPI cuDeviceGet(CUdevice* device, int ordinal) { *device = 100 + ordinal; return CUDA_SUCCESS; }
CUresult CUDAAPI cuMemGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* properties,
                                               CUmemAllocationGranularity_flags option) {
    *granularity = 4096 + option;
    return properties ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
CUresult CUDAAPI cuGetErrorString(CUresult error, const char** text) {
    *text = "from the driver";
    return error;
}
"""


def compile_cpp(output: Path, *arguments: str) -> Path:
    include = TOOLKIT / "include"
    command = [
        str(COMPILER),
        "-std=c++20",
        "-Wall",
        "-Werror",
        f"-isystem{include}",
        "-o",
        str(output),
        *arguments,
    ]
    subprocess.run(command, check=True, timeout=100)
    return output


def run(program: Path, library_path: Path) -> str:
    environment = os.environ | {"LD_LIBRARY_PATH": str(library_path)}
    done = subprocess.run([program], check=True, capture_output=True, text=True, timeout=30, env=environment)
    return done.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("driver")
    (directory / "main.cpp").write_text(PROGRAM)
    return compile_cpp(directory / "main", str(directory / "main.cpp"), str(SOURCE), "-ldl")


def test_calls_reach_the_driver(program: Path, tmp_path: Path) -> None:
    (tmp_path / "driver.cpp").write_text(f'extern "C" {{ {DRIVER} }}')
    compile_cpp(tmp_path / "libcuda.so.1", "-shared", "-fPIC", str(tmp_path / "driver.cpp"))
    assert run(program, tmp_path) == "0 103 4097 from the driver"


def test_without_a_driver_calls_fail_and_nothing_needs_it(program: Path, tmp_path: Path) -> None:
    if any(Path(file).exists() for file in ("/dev/nvidiactl", "/proc/driver/nvidia/version")):
        pytest.skip("there is a driver")
    assert run(program, tmp_path) == "303 -1 0 no NVIDIA driver"
