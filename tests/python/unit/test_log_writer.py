"""A log that nobody reads holds up nobody."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest
from llamad.server.log_writer import BackgroundHandler

WAIT_S = 30.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe of 4 KiB: reading end, writing end."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def logger_to(handler: BackgroundHandler) -> logging.Logger:
    logger = logging.Logger("test")  # noqa: LOG001 - of its own: no other handler hears of it
    logger.addHandler(handler)
    return logger


def read_until(reading: int, end: bytes) -> bytes:
    data = b""
    deadline = time.monotonic() + WAIT_S
    while end not in data:
        assert time.monotonic() < deadline, f"no {end!r} in {data[-200:]!r}"
        data += os.read(reading, 1 << 16)
    return data


def test_lines_are_written_in_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    logger = logger_to(BackgroundHandler(writing))
    for number in range(1000):
        logger.info("line %d", number)
    lines = read_until(reading, b"line 999\n").decode().splitlines()
    assert lines == [f"line {number}" for number in range(1000)]


def test_flush_waits_for_what_was_logged(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    handler = BackgroundHandler(writing)
    logger_to(handler).info("the last words")
    handler.flush()
    os.set_blocking(reading, False)
    assert os.read(reading, 100) == b"the last words\n"


def test_reader_that_stops_holds_up_nobody_and_learns_what_it_missed(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    handler = BackgroundHandler(writing, most_waiting=100)
    logger = logger_to(handler)
    line = "x" * 99

    def fill() -> None:
        for _ in range(20_000):
            logger.info(line)

    filling = threading.Thread(target=fill, daemon=True)
    filling.start()
    filling.join(WAIT_S)
    assert not filling.is_alive()  # 2 MB have gone into a pipe of 4 KiB
    data, told, lost = b"", 0, 0
    deadline = time.monotonic() + WAIT_S
    while told + lost < 20_000:
        assert time.monotonic() < deadline, (told, lost)
        data += os.read(reading, 1 << 16)
        *lines, data = data.split(b"\n")
        told += lines.count(line.encode())
        lost += sum(int(text.split()[0]) for text in lines if text.endswith(b"no more could wait"))
    assert told + lost == 20_000
    assert lost > 0


def test_reader_that_has_gone_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    handler = BackgroundHandler(writing)
    logger = logger_to(handler)
    logger.info("nobody hears this")
    handler.flush()
    logger.info("nor this")
    flushed = threading.Thread(target=handler.flush, daemon=True)
    flushed.start()
    flushed.join(WAIT_S)
    assert not flushed.is_alive()
    os.close(writing)


def test_descriptor_made_non_blocking_loses_nothing(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    logger = logger_to(BackgroundHandler(writing))
    for number in range(2000):
        logger.info("line %d", number)
    lines = read_until(reading, b"line 1999\n").decode().splitlines()
    assert lines == [f"line {number}" for number in range(2000)]
