"""Start, watch and stop the two servers, with equal settings."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from benchmarks.workloads import AnyWorkload, Workload

_READY_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 20.0
N_BATCH, N_UBATCH = 2048, 512
"""llamad's defaults (see `EngineOptions`), given to its peers so that they stay equal."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server.

    Attributes:
        name: "llamad" or "llama-server".
        command: program and arguments; it listens on 127.0.0.1.
        port: where it listens.
        health_path: answers 200 once requests are served.
    """

    name: str
    command: list[str]
    port: int
    health_path: str


def llamad(model: Path, workload: Workload, extra: Sequence[str] = ()) -> Launch:
    """llamad, serving the directory of `model` with that model loaded; `extra` are further flags."""
    port = free_port()
    command = [sys.executable, "-m", "llamad", "--model-directory", str(model.parent)]
    command += ["--preload-model", model.stem, "--port", str(port), "--monitor-port", "0"]
    command += ["--n-parallel", str(workload.n_slots), "--n-ctx", str(workload.n_ctx)]
    command += ["--threads", str(compute_threads(workload)), "--log-level", "warning"]
    return Launch("llamad", [*command, *extra], port, "/readyz")


def llama_server(binary: Path, model: Path, workload: Workload, extra: Sequence[str] = ()) -> Launch:
    """llama-server with one KV stream per slot; its `-c` is the sum over the slots.

    All else but `extra` has its defaults; so it keeps idle slots' prompts in up to 8 GiB of memory.
    """
    port = free_port()
    command = [str(binary), "--model", str(model), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--parallel", str(workload.n_slots), "-c", str(workload.n_slots * workload.n_ctx)]
    command += ["--threads", str(compute_threads(workload)), "-b", str(N_BATCH)]
    command += ["-ub", str(N_UBATCH), "--no-kv-unified", "--log-disable"]
    return Launch("llama-server", [*command, *extra], port, "/health")


def compute_threads(workload: AnyWorkload) -> int:
    """Compute threads of a workload: as it says, or one per core that this process may use."""
    return workload.threads or usable_cores()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A server process; a context manager that starts it, waits until it serves, and stops it."""

    def __init__(self, launch: Launch, log_path: Path) -> None:
        self._launch = launch
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return self._launch.port

    def __enter__(self) -> Self:
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                self._launch.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._stop(self._process)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._stop(self._process)

    def cpu_seconds(self) -> float:
        """User and system time of all threads since the start."""
        assert self._process is not None
        # Linux's name for another process's CPU clock (clock_getcpuclockid(3)), finer than /proc's ticks.
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def peak_memory_mib(self) -> float:
        """Largest resident size so far; mapped model pages count.

        The present one where the kernel, or what stands in for it in a container, keeps no peak.
        """
        found = re.search(r"^Vm(?:HWM|RSS):\s+(\d+) kB$", self._proc("status"), re.MULTILINE)
        if found is None:
            raise RuntimeError(f"{self._launch.name} has no memory any more: did it end?")
        return int(found[1]) / 1024

    def _proc(self, name: str) -> str:
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/{name}").read_text()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        url = f"http://127.0.0.1:{self._launch.port}{self._launch.health_path}"
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(url, timeout=5) as response:
                    if response.status == 200:
                        return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.05)
        log = self._log_path.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self._launch.name} did not start; its log {self._log_path} ends with:\n{log}")

    @staticmethod
    def _stop(process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
