"""Where requests come from: a file, or what is piped in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import BatchFileError, SettingsError
from .lines import read_lines
from .output import STANDARD

if TYPE_CHECKING:
    from .lines import Line
    from .output import Output

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A file of requests.

    Attributes:
        path: of the file, or `STANDARD`.
        max_body_bytes: of a request.
    """

    path: str
    max_body_bytes: int

    def check(self, target: str) -> None:
        """Raise a `SettingsError` if it cannot be read, or is the file that the answers go to."""
        if self._flows:  # to open a pipe and close it again would end whoever writes into it
            return
        with self._open():
            pass
        if target != STANDARD and Path(target).exists() and Path(self.path).samefile(target):
            raise SettingsError(f"{target!r} is the file of the requests; name another one for the answers")

    def check_asks_for(self, output: Output) -> None:
        """Raise a `SettingsError` if there are answers to other requests than these."""
        missing = dict(output.done)
        if not missing:
            return
        if self._flows:
            raise SettingsError(
                f"{output.name} has answers already, and what comes through {self._name} cannot be read from "
                "its beginning again; give the requests as a file"
            )
        for line in self.lines():
            missing.pop(line.id, None)
            if not missing:
                return
        number = min(missing.values())
        raise SettingsError(
            f"{output.name} does not belong to {self.path}: {len(missing)} of its answers, the first on line "
            f"{number}, are to requests that are not there, or not as they were; name another output, or "
            "remove those lines from it"
        )

    def lines(self) -> Iterator[Line]:
        """Read the lines, from the beginning.

        Raises:
            SettingsError: it cannot be opened.
            BatchFileError: it cannot be read on.
        """
        with self._open() as file:
            try:
                yield from read_lines(file, self.max_body_bytes)
            except OSError as error:
                raise BatchFileError(f"cannot read {self._name}: {error.strerror}") from None

    def count(self) -> int | None:
        """Return about how many lines there are; None where that cannot be known."""
        if self._flows:
            return None
        n_lines, last = 0, b"\n"
        with self._open() as file:
            while chunk := file.read(_CHUNK_BYTES):
                n_lines += chunk.count(b"\n")
                last = chunk[-1:]
        return n_lines + (last != b"\n")

    @property
    def _flows(self) -> bool:
        """Whether it can be read only once."""
        path = Path(self.path)
        return self.path == STANDARD or path.is_fifo() or path.is_char_device()

    @property
    def _name(self) -> str:
        return "standard input" if self.path == STANDARD else repr(self.path)

    def _open(self) -> BinaryIO:
        if self.path == STANDARD:
            # Not `sys.stdin`, whose lock a thread that waits for input would hold when the process ends.
            return os.fdopen(os.dup(0), "rb")
        try:
            return Path(self.path).open("rb")
        except OSError as error:
            raise SettingsError(f"cannot read {self.path!r}: {error.strerror}") from None
