"""CPU profiles and stacks of a server at work, through its monitor's port."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from llamad import _engine

from tests.python.support import pprof_reader
from tests.python.support.server_process import ONE_THREAD, ServerProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        _engine.profiling_unsupported() is not None, reason="the system does not let stacks be walked"
    ),
]

PATIENCE_S = 120.0
BOTH_WORLDS = ("llama_decode", "ggml_graph_compute", "llamad::Engine::step()", "Edge.__call__")


@pytest.fixture
def monitor(tiny_server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=tiny_server.monitor_url, timeout=PATIENCE_S, trust_env=False) as client:
        yield client


@contextmanager
def load(server: ServerProcess) -> Iterator[None]:
    """Stream chats, one after the other on each of two connections."""
    stop = threading.Event()

    def chat() -> None:
        with server.client() as client:
            while not stop.is_set():
                stream = client.chat.completions.create(
                    model="tiny", messages=[{"role": "user", "content": "hello"}], stream=True, max_tokens=64
                )
                for _ in stream:
                    pass

    threads = [threading.Thread(target=chat) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def profile(monitor: httpx.Client, seconds: int) -> bytes:
    response = monitor.get("/debug/pprof/profile", params={"seconds": seconds})
    assert response.status_code == 200, response.text
    return response.content


def missing(data: bytes, wanted: tuple[str, ...]) -> list[str]:
    functions = pprof_reader.read(data).functions
    return [one for one in wanted if not any(one in function for function in functions)]


def profile_of_both_worlds(server: ServerProcess, monitor: httpx.Client) -> bytes:
    """Profile for longer and longer until all is seen that must be: CPU time cannot be demanded."""
    deadline, seconds = time.monotonic() + PATIENCE_S, 2
    with load(server):
        while missing(data := profile(monitor, seconds), BOTH_WORLDS) and time.monotonic() < deadline:
            seconds *= 2
    return data


def open_files(server: ServerProcess) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


def timers(server: ServerProcess) -> list[str]:
    table = Path(f"/proc/{server.pid}/timers")
    return table.read_text().splitlines() if table.exists() else []


def test_a_profile_shows_the_engine_and_python(tiny_server: ServerProcess, monitor: httpx.Client):
    data = profile_of_both_worlds(tiny_server, monitor)
    assert missing(data, BOTH_WORLDS) == []
    read = pprof_reader.read(data)
    step = next(one for one in read.samples if "llamad::Engine::step()" in one.functions)
    assert str(step.labels["thread"]).startswith("llamad-engine")
    python = next(one for one in read.samples if any("Edge.__call__" in name for name in one.functions))
    assert python.labels["thread_id"] == tiny_server.pid
    assert "Runner.run" in python.functions


@pytest.mark.skipif(shutil.which("pprof") is None, reason="no pprof on the PATH")
def test_pprof_itself_opens_it(tiny_server: ServerProcess, monitor: httpx.Client, tmp_path: Path):
    file = tmp_path / "profile.pb.gz"
    file.write_bytes(profile_of_both_worlds(tiny_server, monitor))
    command = ["pprof", "-top", "-cum", "-nodecount=10000", "-nodefraction=0", str(file)]
    table = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout
    assert "Type: cpu" in table
    assert [one for one in BOTH_WORLDS if one not in table] == []


def test_one_profile_at_a_time_and_a_client_that_leaves_ends_it(
    tiny_server: ServerProcess, monitor: httpx.Client
):
    address = (monitor.base_url.host, monitor.base_url.port or 0)
    with socket.create_connection(address, timeout=PATIENCE_S) as other:
        other.sendall(b"GET /debug/pprof/profile?seconds=300 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        wait_until(lambda: "a profile is being taken" in monitor.get("/debug/stacks").text, "the profile")
        refused = monitor.get("/debug/pprof/profile?seconds=1")
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "profiler_busy"
    wait_until(
        lambda: monitor.get("/debug/pprof/profile?seconds=1").status_code == 200, "the first one's end"
    )


@pytest.mark.parametrize("seconds", ["0", "301", "-1", "1.5", "soon", "9" * 5000, f"{1:09}99", "\u0661"])
def test_a_wrong_duration_is_refused(monitor: httpx.Client, seconds: str):
    response = monitor.get("/debug/pprof/profile", params={"seconds": seconds})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "seconds"
    assert repr(seconds[:40]) in error["message"]


def test_profiles_leave_nothing_behind(tiny_server: ServerProcess, monitor: httpx.Client):
    profile(monitor, 1)
    files_before = open_files(tiny_server)
    with load(tiny_server):
        for _ in range(3):
            profile(monitor, 1)
    wait_until(lambda: open_files(tiny_server) <= files_before, "files to be closed")
    assert timers(tiny_server) == []


def test_stacks_of_a_server_at_work(tiny_server: ServerProcess, monitor: httpx.Client):
    with load(tiny_server):
        tiny_server.wait_for_metric("llamad_num_requests_running", lambda count: count > 0)
        text = monitor.get("/debug/stacks").text
    assert "llamad-engine" in text
    assert "llamad::Engine::loop()" in text
    assert "(MainThread)" in text
    assert "Runner.run" in text
    assert "task Task-" in text


def test_a_profile_does_not_hold_up_the_end(tiny_model: Path, tmp_path: Path):
    server = ServerProcess(tiny_model.parent, tmp_path / "log", *ONE_THREAD)
    try:
        with httpx.Client(base_url=server.monitor_url, trust_env=False, timeout=PATIENCE_S) as monitor:

            def profile_for_long() -> None:
                with pytest.raises(httpx.HTTPError):
                    monitor.get("/debug/pprof/profile?seconds=300").raise_for_status()

            thread = threading.Thread(target=profile_for_long)
            thread.start()
            with httpx.Client(base_url=server.monitor_url, trust_env=False, timeout=PATIENCE_S) as other:
                wait_until(lambda: "a profile is being taken" in other.get("/debug/stacks").text, "it")
            server.signal(signal.SIGTERM)
            assert server.wait() == 0, server.log
            thread.join()
    finally:
        server.close()
