"""LLAMAD_CUDA=AUTO: a toolkit without a driver does not make a CUDA build."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "cmake" / "cuda.cmake"
CMAKE = shutil.which("cmake")

pytestmark = pytest.mark.skipif(CMAKE is None, reason="needs cmake")


def resolve(option: str, home: Path, *, driver: bool, nvcc: bool) -> subprocess.CompletedProcess[str]:
    """Run the detection where only what `home` holds can be found."""
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
    }
    environment = {k: v for k, v in os.environ.items() if k not in {"CUDACXX", "CUDA_HOME", "CUDA_PATH"}}
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
