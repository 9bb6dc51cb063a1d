"""What systemd is told: ready, reloading, stopping, alive (sd_notify(3), without its library).

Each message is one datagram of `KEY=value` lines to the socket that `NOTIFY_SOCKET` names. Where there is
none, nothing is told.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LONGEST_STATUS = 256

_logger = logging.getLogger("llamad.server")


class Notifier:
    """Tells the service manager that started this process how it is.

    Args:
        environ: the environment; `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` count.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog_s = 0.0 if self._address is None else _watchdog_s(environ)
        self._failed = False

    def ready(self, status: str) -> None:
        """Tell that requests are welcome, for the first time or again after a reload."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Tell that the configuration is being reread; `ready` ends it."""
        # The clock is part of the protocol: it tells this reload's READY=1 from one sent before.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """Tell that the end has begun."""
        self._send("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """Tell in a few words what goes on; `systemctl status` shows it."""
        self._send(f"STATUS={status}")

    async def run_watchdog(self, healthy: Callable[[], bool]) -> None:
        """Tell twice in each interval of the watchdog that the process is alive, while it is.

        Runs until cancelled. Returns at once where no watchdog waits.
        """
        while self._watchdog_s:
            if healthy():
                self._send("WATCHDOG=1")
            else:
                _logger.error("an engine makes no progress: the watchdog is not told that all is well")
            await asyncio.sleep(self._watchdog_s / 2)

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        message = "\n".join(line.replace("\n", " ")[:_LONGEST_STATUS] for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                # The manager's queue may be full, and the event loop does not wait.
                channel.sendto(message.encode(errors="replace"), socket.MSG_DONTWAIT, self._address)
        except OSError as error:
            if not self._failed:
                _logger.warning("cannot notify the service manager: %s", error)
            self._failed = True
        else:
            self._failed = False


def _address(name: str) -> bytes | None:
    """Return the address of a socket: a path, or behind an @ a name without a file."""
    if name.startswith("@"):
        return b"\0" + os.fsencode(name[1:])
    return os.fsencode(name) if name.startswith("/") else None


def _watchdog_s(environ: Mapping[str, str]) -> float:
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0  # some other process of the service is watched
    interval = environ.get("WATCHDOG_USEC", "")
    return int(interval) / 1e6 if interval.isdecimal() else 0.0
