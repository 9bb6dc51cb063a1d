"""llamad as its users run it: a process of its own, on free ports of the loopback interface."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from openai import AsyncOpenAI, OpenAI

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
REQUEST_TIMEOUT_S = 90.0
"""Bounds against hanging, far above what a loaded machine needs; no test waits for one to pass."""

ONE_THREAD = ("--threads", "1")
"""Compute threads wait for each other by spinning: on a busy machine two are far slower than one."""

_POLL_S = 0.02


class ServerProcess:
    """A running server.

    Attributes:
        url: root of the API.
        monitor_url: root of the monitor.
    """

    def __init__(self, directory: Path, log_path: Path, *flags: str) -> None:
        """Start serving `directory`; `flags` are added to the command line.

        Raises:
            AssertionError: it did not start to listen; the message holds its log.
        """
        command = [sys.executable, "-m", "llamad", "--model-directory", str(directory)]
        command += ["--port", "0", "--monitor-port", "0", *flags]
        self._log_path = log_path
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._banner: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read_stdout, daemon=True)
        self._reader.start()
        try:
            self.url = self._announced("listening")
            self.monitor_url = self._announced("monitoring")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        return self._log_path.read_text(errors="replace")

    def client(self) -> OpenAI:
        """The official client, without retries."""
        return OpenAI(base_url=f"{self.url}/v1", api_key="unused", max_retries=0, timeout=REQUEST_TIMEOUT_S)

    def async_client(self) -> AsyncOpenAI:
        """The official asyncio client, without retries."""
        return AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key="unused", max_retries=0, timeout=REQUEST_TIMEOUT_S
        )

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric's samples that carry these labels; 0 where there is none."""
        text = get(f"{self.monitor_url}/metrics")[1]
        samples = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(value) for found, value in samples if all(one in found for one in wanted))

    def wait_for_metric(self, name: str, holds: Callable[[float], bool], **labels: str) -> None:
        """Wait until a metric's value satisfies `holds`."""
        wait_until(lambda: holds(self.metric(name, **labels)), f"{name}{labels}")

    def wait_for_log(self, text: str) -> None:
        """Wait until the log says something; a thread of its own writes it, so it may lag behind."""
        wait_until(lambda: text in self.log, f"{text!r} in the log")

    def wait_until_idle(self) -> None:
        """Wait until no request has a slot or waits for one."""
        for name in ("llamad_num_requests_waiting", "llamad_num_requests_running"):
            self.wait_for_metric(name, lambda count: count == 0)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for the process to end and return its exit code."""
        return self._process.wait(timeout_s)

    def close(self) -> None:
        """Make sure that the process is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._banner.append(line)
            if line.startswith("llamad: listening on "):
                self._listening.set()
        self._listening.set()

    def _announced(self, what: str) -> str:
        self._listening.wait(START_TIMEOUT_S)
        banner = "".join(self._banner)
        found = re.search(rf"^llamad: {what} on (https?://\S+)", banner, re.MULTILINE)
        assert found, f"no line about {what} in {banner!r}; stderr: {self.log}"
        return found[1]


@contextmanager
def serving(directory: Path, *flags: str, log_path: Path) -> Iterator[ServerProcess]:
    """Serve a directory for the length of a `with` block, and stop by SIGTERM."""
    server = ServerProcess(directory, log_path, *flags)
    try:
        yield server
        server.signal(signal.SIGTERM)
        assert server.wait() == 0, server.log
    finally:
        server.close()


def get(url: str) -> tuple[int, str]:
    """Return status and body of a GET, whatever the status."""
    try:
        with urllib.request.urlopen(url, timeout=REQUEST_TIMEOUT_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
    """Poll a condition that nobody signals.

    Raises:
        AssertionError: it did not come true in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        time.sleep(_POLL_S)
