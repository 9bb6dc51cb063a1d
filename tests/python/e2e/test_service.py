"""llamad as a service: what systemd hears, SIGHUP, and the log as programs read it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.python.support.server_process import (
    ONE_THREAD,
    REQUEST_TIMEOUT_S,
    ServerProcess,
    get,
    serving,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

HELLO: Any = [{"role": "user", "content": "hello"}]
FLAGS = ("--n-ctx", "512", *ONE_THREAD)


class Manager:
    """Stands in for systemd's end of the socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(REQUEST_TIMEOUT_S)

    def until(self, wanted: str) -> None:
        """Wait for a message that begins with this line."""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        while self._socket.recv(4096).decode().split("\n")[0] != wanted:
            assert time.monotonic() < deadline, f"{wanted} did not come"

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    yield manager
    manager.close()


def chat(server: ServerProcess, **fields: Any) -> str:
    with server.client() as client:
        answer = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=4, **fields)
    return str(answer.choices[0].finish_reason)


def test_life_as_systemd_hears_it(tiny_model: Path, tmp_path: Path, manager: Manager) -> None:
    config = tmp_path / "llamad.toml"
    config.write_text("lameduck = 20\n")
    flags = ("--config", str(config), "--preload-model", "tiny", *FLAGS)
    with serving(tiny_model.parent, *flags, log_path=tmp_path / "server.log") as server:
        manager.until("READY=1")
        manager.until("WATCHDOG=1")

        config.write_text("lameduck = 10\nlog_level = 'debug'\nport = 1\n")
        server.signal(signal.SIGHUP)
        manager.until("RELOADING=1")
        manager.until("READY=1")
        # The port is a flag here, and flags win: the file's is no change.
        server.wait_for_log("reload: done; changed: lameduck, log_level")
        assert chat(server) == "length"

        config.write_text("lameduck = soon\n")
        server.signal(signal.SIGHUP)
        server.wait_for_log("not a TOML file")
        assert "the configuration before stays in force" in server.log
        assert chat(server) == "length"

        server.signal(signal.SIGTERM)
        manager.until("STOPPING=1")
        assert server.wait() == 0, server.log


def test_keys_change_without_a_restart(tiny_model: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("the-first-key-of-all\n")
    flags = ("--api-key-file", str(keys), *FLAGS)
    with serving(tiny_model.parent, *flags, log_path=tmp_path / "server.log") as server:
        assert models_status(server, "the-first-key-of-all") == 200
        keys.write_text("the-second-key-of-all\n")
        server.signal(signal.SIGHUP)
        wait_until(lambda: models_status(server, "the-second-key-of-all") == 200, "the new key")
        assert models_status(server, "the-first-key-of-all") == 401


@pytest.mark.parametrize("broken", ["keys", "models"])
def test_reload_takes_all_or_nothing(tiny_model: Path, tmp_path: Path, broken: str) -> None:
    keys, config = tmp_path / "keys.txt", tmp_path / "llamad.toml"
    keys.write_text("the-first-key-of-all\n")
    config.write_text("[models.tiny]\naliases = ['one']\n")
    flags = ("--api-key-file", str(keys), "--config", str(config), *FLAGS)
    with serving(tiny_model.parent, *flags, log_path=tmp_path / "server.log") as server:
        keys.write_text("# none\n" if broken == "keys" else "the-second-key-of-all\n")
        config.write_text(
            "[models.tiny]\n" + ("aliases = 1\n" if broken == "models" else "aliases = ['two']\n")
        )
        server.signal(signal.SIGHUP)
        server.wait_for_log("the configuration before stays in force")
        assert models_status(server, "the-second-key-of-all") == 401
        with server.client().with_options(api_key="the-first-key-of-all") as client:
            (model,) = client.models.list().data
            assert model.model_dump()["aliases"] == ["one"]


def models_status(server: ServerProcess, key: str) -> int:
    with server.client() as client:
        answer = client.with_options(api_key=key).models.with_raw_response
        try:
            return answer.list().status_code
        except Exception as error:  # noqa: BLE001 - one class for each status
            status: int = getattr(error, "status_code", 0)
            return status


def test_log_is_json_line_by_line(tiny_model: Path, tmp_path: Path) -> None:
    flags = ("--log-format", "json", "--log-level", "debug", *FLAGS)
    with serving(tiny_model.parent, *flags, log_path=tmp_path / "server.log") as server:
        assert chat(server) == "length"
        with server.client() as client:
            list(client.completions.create(model="tiny", prompt="a secret", max_tokens=4, stream=True))
            with pytest.raises(Exception, match="no model"):
                client.embeddings.create(model="none", input="a secret")
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))
    assert any(line["logger"] == "llamad.llama_cpp" for line in lines)
    asked = [line for line in lines if line["logger"] == "llamad.access" and line["method"] == "POST"]
    assert [line["outcome"] for line in asked] == ["length", "length", "invalid"]
    for line in asked[:2]:
        assert line["completion_tokens"] == 4
        assert 0 <= line["queue_ms"] <= line["ttft_ms"] <= line["duration_ms"]
    assert "a secret" not in server.log


def test_log_that_nobody_reads_holds_up_nobody(tiny_model: Path) -> None:
    command = [sys.executable, "-m", "llamad", "--model-directory", str(tiny_model.parent), *FLAGS]
    command += ["--port", "0", "--monitor-port", "-1"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = listening(process.stdout.readline)
            # A line is above 300 bytes and a pipe holds 64 KiB: it is full after some 200 of them.
            for _ in range(600):
                assert get(f"{url}/v1/models")[0] == 200
            process.terminate()
            # It waits a second for its last lines, and no longer.
            assert process.wait(REQUEST_TIMEOUT_S) == 0
        finally:
            process.kill()


def listening(read_line: Callable[[], str]) -> str:
    while line := read_line():
        if line.startswith("llamad: listening on "):
            return line.split()[-1]
    raise AssertionError("it does not listen")
