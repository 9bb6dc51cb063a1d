"""A program at a terminal, as somebody who types and reads sees it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXPECT_TIMEOUT_S = 60.0
"""A bound against hanging; no test waits for it to pass."""

CTRL_C, CTRL_D, ENTER, ALT_ENTER, TAB, UP = "\x03", "\x04", "\r", "\x1b\r", "\t", "\x1b[A"

# A process can only take a terminal for its own itself, before it becomes the program.
_START = "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"

_ESCAPES = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|[=>]|\][^\x07]*\x07)")


class Terminal:
    """Runs a command at a pseudo-terminal of its own; a context manager that ends it.

    Args:
        command: program and arguments.
        environment: of the program, over this process's own.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._terminal, inner = pty.openpty()
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(inner), *command],
            # Without this, prompt_toolkit asks where the cursor is, and waits for an answer.
            env=os.environ | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"} | dict(environment),
            pass_fds=[inner],
        )
        os.close(inner)
        self._raw = b""
        self._seen = 0

    @property
    def shown(self) -> str:
        """Everything it has written, without control sequences."""
        return _ESCAPES.sub(b"", self._raw).decode(errors="replace")

    @property
    def raw(self) -> str:
        """The same with them."""
        return self._raw.decode(errors="replace")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._terminal, text.encode())

    def expect(self, text: str) -> str:
        """Wait for a text beyond what was expected before; return what came up to its end."""
        deadline = time.monotonic() + EXPECT_TIMEOUT_S
        while (at := self.shown.find(text, self._seen)) < 0:
            assert self._read(deadline), f"no {text!r} in {self.shown[self._seen :]!r}"
        begin, self._seen = self._seen, at + len(text)
        return self.shown[begin : self._seen]

    def interrupt(self) -> None:
        """Send SIGINT to the program itself."""
        self._process.send_signal(signal.SIGINT)

    def exit_code(self) -> int:
        """Wait for the program to end."""
        deadline = time.monotonic() + EXPECT_TIMEOUT_S
        while self._read(deadline):
            pass
        return self._process.wait(EXPECT_TIMEOUT_S)

    def _read(self, deadline: float) -> bool:
        """Take what has come; False where the program has ended, or the time has."""
        ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            more = os.read(self._terminal, 65536)
        except OSError:  # nobody has it open any more
            return False
        self._raw += more
        return bool(more)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)
