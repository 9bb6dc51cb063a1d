"""What systemd hears, on a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from llamad.server.notify import Notifier

WAIT_S = 30.0


class Manager:
    """Stands in for systemd: the address that a service gets, and what arrives there."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(WAIT_S)
        self.environ = {"NOTIFY_SOCKET": address}

    def message(self) -> dict[str, str]:
        lines = self._socket.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def nothing_came(self) -> bool:
        return not select.select([self._socket], [], [], 0)[0]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@llamad-test-{os.getpid()}"
    manager = Manager(address)
    yield manager
    manager.close()


def test_states(manager: Manager) -> None:
    notifier = Notifier(manager.environ)
    notifier.ready("serving 2 models")
    assert manager.message() == {"READY": "1", "STATUS": "serving 2 models"}
    notifier.status("loading tiny")
    assert manager.message() == {"STATUS": "loading tiny"}
    notifier.stopping("draining")
    assert manager.message() == {"STOPPING": "1", "STATUS": "draining"}


def test_reload_carries_the_monotonic_clock(manager: Manager) -> None:
    before = time.monotonic_ns() // 1000
    Notifier(manager.environ).reloading()
    message = manager.message()
    assert set(message) == {"RELOADING", "MONOTONIC_USEC"}
    assert before <= int(message["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000


def test_status_cannot_forge_a_line(manager: Manager) -> None:
    Notifier(manager.environ).status("a model's name\nSTOPPING=1")
    assert manager.message() == {"STATUS": "a model's name STOPPING=1"}


def test_watchdog_is_fed_while_all_is_well(manager: Manager) -> None:
    answers = [True, True, False, False]

    async def scenario() -> None:
        all_asked = asyncio.Event()

        def healthy() -> bool:
            if len(answers) == 1:
                all_asked.set()
            return answers.pop(0) if answers else False

        feeding = asyncio.create_task(notifier.run_watchdog(healthy))
        async with asyncio.timeout(WAIT_S):
            await all_asked.wait()
        feeding.cancel()

    notifier = Notifier(manager.environ | {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())})
    asyncio.run(scenario())
    assert [manager.message(), manager.message()] == [{"WATCHDOG": "1"}] * 2
    assert manager.nothing_came()


def test_watchdog_is_fed_at_half_its_interval(manager: Manager) -> None:
    slept = []

    async def scenario(monkeypatch: pytest.MonkeyPatch) -> None:
        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            raise asyncio.CancelledError

        monkeypatch.setattr(asyncio, "sleep", sleep)
        with pytest.raises(asyncio.CancelledError):
            await Notifier(manager.environ | {"WATCHDOG_USEC": "30000000"}).run_watchdog(lambda: True)

    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(scenario(monkeypatch))
    assert slept == [15.0]


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}]
)
def test_no_watchdog_for_this_process(manager: Manager, environ: dict[str, str]) -> None:
    asyncio.run(asyncio.wait_for(Notifier(manager.environ | environ).run_watchdog(lambda: True), WAIT_S))
    assert manager.nothing_came()


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234"])
def test_no_socket_that_is_understood(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    notifier.ready("serving")
    asyncio.run(asyncio.wait_for(notifier.run_watchdog(lambda: True), WAIT_S))


def test_manager_that_does_not_listen_holds_up_nobody(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier(manager.environ)
    for _ in range(10_000):  # far more than the socket's queue holds
        notifier.status("again")
    manager.close()
    notifier.status("to nobody")
    (record,) = caplog.records
    assert "cannot notify the service manager" in record.getMessage()
