"""What CMake decides of CUDA: whether, for which GPUs, and with which cuBLAS."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "cmake" / "cuda.cmake"
CMAKE = shutil.which("cmake")

pytestmark = pytest.mark.skipif(CMAKE is None, reason="needs cmake")


def resolve(
    option: str, home: Path, *, driver: bool, nvcc: bool, cudaarchs: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the detection where only what `home` holds can be found.

    Args:
        option: value of LLAMAD_CUDA.
        home: an empty directory.
        driver: whether there is one.
        nvcc: whether there is one.
        cudaarchs: the environment variable.
        more: further definitions.
    """
    driver_file = home / "version"
    if driver:
        driver_file.touch()
    if nvcc:
        compiler = home / "bin" / "nvcc"
        compiler.parent.mkdir()
        compiler.touch(mode=0o755)
    definitions = {
        "LLAMAD_CUDA": option,
        "LLAMAD_NVIDIA_DRIVER_FILES": str(driver_file),
        "CMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH": "OFF",
        "LLAMAD_CUDA_HINTS": str(home),
        **more,
    }
    environment = {k: v for k, v in os.environ.items() if k not in {"CUDACXX", "CUDA_HOME", "CUDA_PATH"}}
    environment["CUDAARCHS"] = cudaarchs
    return subprocess.run(
        [str(CMAKE), *(f"-D{name}={value}" for name, value in definitions.items()), "-P", str(SCRIPT)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )


@pytest.mark.parametrize(
    ("option", "driver", "nvcc", "expected"),
    [
        ("AUTO", True, True, "CUDA ON: nvcc and"),
        ("AUTO", False, True, "CUDA OFF: nvcc is here but no NVIDIA driver"),
        ("AUTO", True, False, "CUDA OFF: no nvcc"),
        ("ON", False, True, "CUDA ON"),
        ("OFF", True, True, "CUDA OFF"),
    ],
)
def test_resolution(option: str, driver: bool, nvcc: bool, expected: str, tmp_path: Path) -> None:
    done = resolve(option, tmp_path, driver=driver, nvcc=nvcc)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_on_without_nvcc_fails_with_advice(tmp_path: Path) -> None:
    done = resolve("ON", tmp_path, driver=True, nvcc=False)
    assert done.returncode != 0
    assert "install the CUDA toolkit" in done.stderr


EVERY_GPU = "75-virtual;80-virtual;86-real;89-real;90"


@pytest.mark.parametrize(
    ("driver", "definitions", "cudaarchs", "expected"),
    [
        (True, {"LLAMAD_NATIVE": "ON"}, "", "native"),
        (False, {"LLAMAD_NATIVE": "ON"}, "", EVERY_GPU),
        (True, {"LLAMAD_NATIVE": "OFF"}, "", EVERY_GPU),
        (False, {"LLAMAD_CUDA_VERSION": "13.0"}, "", f"{EVERY_GPU};120a-real"),
        (True, {"LLAMAD_NATIVE": "ON"}, "80", "80"),
        (True, {"LLAMAD_CUDA_ARCHITECTURES": "86;90"}, "80", "86;90"),
    ],
)
def test_architectures(
    driver: bool, definitions: dict[str, str], cudaarchs: str, expected: str, tmp_path: Path
) -> None:
    done = resolve("ON", tmp_path, driver=driver, nvcc=True, cudaarchs=cudaarchs, **definitions)
    assert done.returncode == 0, done.stderr
    assert f"-- for {expected}\n" in done.stdout


def find_cublas(packages: Path, major: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT.with_name("find_cublas.py")), major],
        check=False, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(packages)},
    )  # fmt: skip


def install_cublas(packages: Path, *names: str) -> list[Path]:
    """Lay out a package like nvidia-cublas that has files of these names."""
    files = [packages / "nvidia" / "cu99" / name for name in names]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    info = packages / "nvidia_cublas-99.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-cublas\nVersion: 99.1\n")
    (info / "RECORD").write_text("".join(f"{path.relative_to(packages)},,\n" for path in files))
    return files


def test_cublas_of_the_python_package(tmp_path: Path) -> None:
    names = ("include/cublas_v2.h", "lib/libcublas.so.99", "lib/libcublasLt.so.99")
    header, *libraries = install_cublas(tmp_path, *names)
    done = find_cublas(tmp_path, "99")
    assert done.stdout.strip().split(";") == [str(header.parent), *map(str, libraries)]
    assert find_cublas(tmp_path, "98").returncode == 1, "of another CUDA"


def test_a_package_without_headers_is_none(tmp_path: Path) -> None:
    install_cublas(tmp_path, "lib/libcublas.so.99", "lib/libcublasLt.so.99")
    done = find_cublas(tmp_path, "99")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
