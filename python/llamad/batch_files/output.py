"""Where answers go: `AnswerFile`, which a later run goes on with, or `AnswerStream`, such as a pipe."""

from __future__ import annotations

import fcntl
import os
import stat
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from ..errors import BatchFileError, SettingsError
from .answers import HEAD, read_outcome
from .aside import Aside

STANDARD = "-"
"""Names standard input or output."""


class Output(Protocol):
    """Takes answers.

    Attributes:
        name: as messages call it.
        done: ids of the answers that are there already, and the lines they stand on.
        failures: of these, how many failed with which code.
    """

    name: str
    done: dict[str, int]
    failures: Counter[str]

    async def append(self, line: bytes) -> None:
        """Write a line; it is in the system's hands when this returns.

        Raises:
            BatchFileError: it cannot be written.
        """
        ...

    def close(self) -> None:
        """Give it back; idempotent."""
        ...


def open_output(path: str) -> Output:
    """Open where answers go: a file, which is made where there is none, a device, a pipe, or `STANDARD`.

    Raises:
        SettingsError: it cannot be opened, another run writes it, or it holds something else.
    """
    if path == STANDARD:
        return AnswerStream(os.dup(1), "standard output")
    try:
        fd = os.open(path, _flags(path), 0o666)
    except OSError as error:
        raise SettingsError(f"cannot write to {path!r}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return AnswerStream(fd, path)
    try:
        return AnswerFile(fd, path)
    except BaseException:
        os.close(fd)
        raise


def _flags(path: str) -> int:
    seekable = not Path(path).exists() or Path(path).is_file()
    # To open a pipe for reading, too, would hide that nobody reads it.
    return os.O_APPEND | os.O_CLOEXEC | (os.O_RDWR | os.O_CREAT if seekable else os.O_WRONLY)


class AnswerStream:
    """Answers that leave and are not seen again.

    Args:
        fd: written to, and closed in the end.
        name: as messages call it.
    """

    def __init__(self, fd: int, name: str) -> None:
        self.name = name
        self.done: dict[str, int] = {}
        self.failures: Counter[str] = Counter()
        self._fd = fd
        self._aside = Aside("llamad-batch-write")

    async def append(self, line: bytes) -> None:
        """Write a line; waits while nobody reads."""
        # Not on the loop's thread: while that waits, it sees no signal.
        await self._aside.call(lambda: self._write(line))

    def _write(self, line: bytes) -> None:
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise BatchFileError(f"cannot write to {self.name}: {error.strerror}") from None

    def close(self) -> None:
        """Close it; idempotent."""
        fd, self._fd = (
            self._fd,
            -1,
        )  # first, lest what still waits to be written go where the number is reused
        if fd >= 0:
            os.close(fd)


class AnswerFile(AnswerStream):
    """A file of answers, locked as long as it is open.

    What a run that was killed has left of its last line is cut off.

    Args:
        fd: open for reading and appending; closed in the end.
        path: of the file.

    Raises:
        SettingsError: another run has it open, or it holds something else.
    """

    def __init__(self, fd: int, path: str) -> None:
        super().__init__(fd, path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(f"another run is writing to {path!r}") from None
        except OSError as error:
            raise SettingsError(f"cannot lock {path!r}: {error.strerror}") from None
        with os.fdopen(os.dup(fd), "rb") as file:
            self._size = self._read(file)
        os.ftruncate(fd, self._size)

    async def append(self, line: bytes) -> None:
        """Write a line, or nothing of it."""
        try:
            self._write(line)
        except BatchFileError as error:
            with suppress(OSError):  # what stays of the line is cut off by the next run
                os.ftruncate(self._fd, self._size)
            raise BatchFileError(f"{error}; run the same command again to go on") from None
        self._size += len(line)

    def close(self) -> None:
        """Have it on the disk, close it and unlock it; idempotent."""
        if self._fd >= 0:
            with suppress(OSError):  # what a disk reports so late cannot be mended here
                os.fsync(self._fd)
        super().close()

    def _read(self, file: BinaryIO) -> int:
        """Take note of the answers that are there, and return where the last whole one ends."""
        size = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                if not line.startswith(HEAD[: len(line)]):
                    raise self._foreign(number)
                break
            outcome = read_outcome(line)
            if outcome is None:
                raise self._foreign(number)
            self.done[outcome.id] = number
            if outcome.failure is not None:
                self.failures[outcome.failure] += 1
            size += len(line)
        return size

    def _foreign(self, number: int) -> SettingsError:
        return SettingsError(
            f"{self.name}: line {number} is not an answer of a batch; name another file, or remove this one"
        )
