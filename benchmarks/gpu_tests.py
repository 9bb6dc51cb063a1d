"""The tests of llamad on a GPU machine: the C++ core's, those that stand on llama.cpp, and Python's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from benchmarks.models import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.gpu_results import Deadline, Results

PYTHON_TESTS = ("tests/python/e2e", "tests/python/unit", "tests/python/api")
_STEP_TIMEOUT_S = 420.0


@dataclass(frozen=True, slots=True)
class OwnTests:
    """Runs tests; what fails is noted, and does not end the others.

    Attributes:
        build: directory of `benchmarks/gpu.sh`'s builds; logs and pytest's reports go to its `logs`.
        results: takes what fails.
        deadline: of the whole run; every method raises `OutOfTime` when it comes.
        n_processes: of pytest; each holds models of its own on the one GPU. 0 takes none but pytest's own.
    """

    build: Path
    results: Results
    deadline: Deadline
    n_processes: int = 8

    def cpp(self) -> None:
        """Build and run the core's tests, and in the module's build directory those that need llama.cpp."""
        core, module = str(self.build / "core"), str(self.build / "module")
        configured = self._run(
            "core-configure", ["cmake", "-S", str(ROOT), "-B", core, "-G", "Ninja", "-DLLAMAD_CORE_ONLY=ON"]
        )
        if configured and self._run("core-build", ["cmake", "--build", core]):
            self._run("core-tests", _ctest(core))
        if self._run("llama-build", ["cmake", "--build", module, "--target", "llamad_llama_tests"]):
            self._run("llama-tests", _ctest(f"{module}/tests/cpp/llama"))

    def python(self, paths: Sequence[str]) -> None:
        """Run pytest, one path after the other, without the tests of what is not on such a machine."""
        for path in paths:
            name = f"pytest-{path.strip('/').replace('/', '-')}"
            command = [sys.executable, "-m", "pytest", "-q", "-p", "benchmarks.gpu_pytest"]
            command += ["--continue-on-collection-errors", "--durations-min=10"]
            command += [f"--junit-xml={self.build}/logs/{name}.xml"]
            command += [f"--numprocesses={self.n_processes}", "--dist=loadfile", path]
            self._run(name, command)

    def _run(self, name: str, command: list[str]) -> bool:
        """Run a command, keep its output, and print the end of it."""
        limit = self.deadline.bound(_STEP_TIMEOUT_S)
        log = self.build / "logs" / f"{name}.log"
        try:
            with log.open("wb") as output:
                _call(command, output, limit, self._environment())
        except (OSError, subprocess.SubprocessError) as error:
            self._show(name, log, n_lines=40)
            self.results.fail(name, error)
            return False
        self._show(name, log, n_lines=2)
        return True

    def _environment(self) -> dict[str, str]:
        """This one's, with the build's tools first, and llama.cpp's source where gpu.sh has unpacked it.

        CMake asks for it again when one of its files has another time than it had at the build.
        """
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"LLAMAD_CACHE_DIR": str((self.build / "cache").absolute()), **os.environ, "PATH": path}

    @staticmethod
    def _show(name: str, log: Path, n_lines: int) -> None:
        end = log.read_text(errors="replace").splitlines()[-n_lines:]
        print(f"{name}:", *end, sep="\n  ", file=sys.stderr, flush=True)


def _call(command: list[str], output: BinaryIO, timeout_s: float, environment: dict[str, str]) -> None:
    """Run a command to its end; at the latest when its time is over, all that it has begun is over too."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )
    try:
        code = process.wait(timeout_s)
    except BaseException:
        # Ninja outlives the CMake that began it, and would compute beside what is measured next.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if code != 0:
        raise subprocess.CalledProcessError(code, command)


def _ctest(directory: str) -> list[str]:
    jobs = str(os.cpu_count() or 1)
    return ["ctest", "--test-dir", directory, "--output-on-failure", "--no-tests=error", "--parallel", jobs]
