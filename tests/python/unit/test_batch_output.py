"""Where requests come from and answers go: files, other people's files, pipes, devices, full disks."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import stat
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from llamad.batch_files.output import AnswerFile, open_output
from llamad.batch_files.source import Source
from llamad.errors import BatchFileError, SettingsError

from tests.python.support.batch_runs import (
    MAX_BODY_BYTES,
    TWELVE,
    WAIT_S,
    EchoApi,
    custom_ids,
    run,
    write_twelve,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    return write_twelve(tmp_path / "in.jsonl")


@pytest.mark.parametrize(
    "held",
    [b"a diary\n", b"a diary without an end of line", b'{"some": "object"}\n', b'{"id":"other"', b"\n"],
)
def test_a_file_of_something_else_is_left_alone(requests: Path, tmp_path: Path, held: bytes) -> None:
    target = tmp_path / "diary.txt"
    target.write_bytes(held)
    with pytest.raises(SettingsError, match="line 1 is not an answer of a batch"):
        run(requests, target, EchoApi())
    assert target.read_bytes() == held


def test_two_runs_cannot_write_one_file(requests: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    first = open_output(str(target))
    with pytest.raises(SettingsError, match="another run is writing to"):
        open_output(str(target))
    first.close()
    open_output(str(target)).close()


def test_the_requests_are_not_overwritten(requests: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.jsonl"
    link.symlink_to(requests)
    for target in (requests, link):
        with pytest.raises(SettingsError, match="is the file of the requests"):
            Source(str(requests), MAX_BODY_BYTES).check(str(target))


@pytest.mark.parametrize("path", ["", "missing.jsonl", "folder"])
def test_requests_that_cannot_be_read_are_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError, match="cannot read"):
        Source(str(tmp_path / path), MAX_BODY_BYTES).check("out.jsonl")


@pytest.mark.parametrize("path", ["", "missing/out.jsonl"])
def test_answers_that_cannot_be_written_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(SettingsError, match="cannot write to"):
        open_output(str(tmp_path / path))


def test_what_flows_is_not_gone_on_with(requests: Path, tmp_path: Path) -> None:
    target, pipe = tmp_path / "out.jsonl", tmp_path / "pipe"
    os.mkfifo(pipe)
    run(requests, target, EchoApi())
    output = open_output(str(target))
    for path, name in (("-", "standard input"), (str(pipe), "pipe")):
        source = Source(path, MAX_BODY_BYTES)
        source.check(str(target))  # and does not wait for somebody to write into it
        with pytest.raises(SettingsError, match=rf"{name}'? cannot be read from its beginning again"):
            source.check_asks_for(output)
    output.close()


def test_requests_may_come_through_a_pipe(requests: Path, tmp_path: Path) -> None:
    target, pipe = tmp_path / "out.jsonl", tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(requests.read_bytes()), daemon=True)
    writer.start()
    Source(str(pipe), MAX_BODY_BYTES).check(str(target))
    run(pipe, target, EchoApi())
    writer.join(WAIT_S)
    assert custom_ids(target) == TWELVE


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_the_run_with_whole_lines(requests: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    # As a disk that is full does, the limit takes what there is room for, and only then refuses.
    with (
        file_size_limit(1000),
        pytest.raises(BatchFileError, match="File too large; run the same command again"),
    ):
        run(requests, target, EchoApi())
    held = target.read_bytes()
    assert 0 < len(held) < 1000
    assert held.endswith(b"\n")
    run(requests, target, EchoApi())
    assert custom_ids(target) == TWELVE


def test_a_device_takes_answers_and_keeps_none(requests: Path) -> None:
    api = EchoApi()
    run(requests, Path(os.devnull), api)
    assert len(api.bodies) == 12
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_a_pipe_takes_answers(requests: Path, tmp_path: Path) -> None:
    pipe, taken = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: taken.append(pipe.read_bytes()), daemon=True)
    reader.start()
    run(requests, pipe, EchoApi())
    reader.join(WAIT_S)
    assert Counter(json.loads(line)["custom_id"] for line in taken[0].splitlines()) == TWELVE


def test_a_pipe_that_nobody_reads_does_not_stop_the_loop(tmp_path: Path) -> None:
    pipe, line = tmp_path / "pipe", b"x" * (1 << 20)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    output = open_output(str(pipe))

    async def write() -> None:
        writing = asyncio.create_task(output.append(line))
        await asyncio.sleep(0.05)
        assert not writing.done()
        held = bytearray()
        while not writing.done():
            with suppress(BlockingIOError):
                held += os.read(reader, 1 << 16)
            await asyncio.sleep(0)
        with suppress(BlockingIOError):
            while rest := os.read(reader, 1 << 16):
                held += rest
        assert held == line
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(output.append(line), 0.05)

    asyncio.run(write())
    output.close()
    os.close(reader)


def test_lines_are_counted(tmp_path: Path, requests: Path) -> None:
    assert Source(str(requests), MAX_BODY_BYTES).count() == 13
    requests.write_bytes(b"")
    assert Source(str(requests), MAX_BODY_BYTES).count() == 0
    requests.write_bytes(b"a\nb\n")
    assert Source(str(requests), MAX_BODY_BYTES).count() == 2
    assert Source("-", MAX_BODY_BYTES).count() is None


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    output = open_output(str(tmp_path / "out.jsonl"))
    assert isinstance(output, AnswerFile)
    output.close()
    output.close()
