"""`llamad batch` at a terminal, as its page shows it, and given wrongly."""

from __future__ import annotations

import fcntl
import re
import signal
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from llamad import cli

from tests.python.support.batch_command import TIMEOUT_S, batch_command, run_batch, write_requests
from tests.python.support.server_process import wait_until
from tests.python.support.terminal import Terminal

PAGE = Path(__file__).parents[3] / "docs" / "batch.md"


def test_a_terminal_shows_a_bar_with_lines_and_tokens(tiny_model: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    body = {"model": "tiny", "prompt": "Hi", "max_tokens": 9}
    write_requests(source, [(f"r{n}", "/v1/completions", body) for n in range(12)])
    with source.open("a", encoding="utf-8") as file:
        file.write("\n\n")
    with Terminal(batch_command(tiny_model.parent, source, target), {}) as terminal:
        shown = terminal.expect("12 answered, 0 failed")
        assert terminal.exit_code() == 0
    assert "| 12/12 [" in shown
    assert " tok/s" in shown
    with Terminal(batch_command(tiny_model.parent, source, target, "--no-progress"), {}) as terminal:
        shown = terminal.expect("12 answered, 0 failed, 12 of them by earlier runs")
        assert terminal.exit_code() == 0
    assert "12/12" not in shown


def test_the_documented_run_works(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (requests,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (reading,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "requests.jsonl").write_text(requests, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    ended = run_batch(smollm2.parent, "requests.jsonl", "answers.jsonl")
    assert ended.returncode == 0, ended.stderr
    exec(compile(reading, "docs/batch.md", "exec"), {})
    shown = capsys.readouterr().out
    assert shown.startswith("egypt ")
    assert "Cairo" in shown
    (good,) = re.findall(r"^grep '([^']*)' answers.jsonl > good.jsonl", page, re.MULTILINE)
    assert all(good.encode() in line for line in (tmp_path / "answers.jsonl").read_bytes().splitlines())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_answers_that_nobody_reads_do_not_keep_a_run_from_ending(
    tiny_model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("nonsense\n" * 2000, encoding="utf-8")
    process = subprocess.Popen(
        batch_command(tiny_model.parent, source, "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        pipe = process.stdout.fileno()
        # Lines are some 200 bytes, and none is divided between the pages of a pipe.
        full = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) * 15 // 16
        wait_until(lambda: _unread(pipe) > full, "a full pipe")
        process.send_signal(number)
        assert process.wait(TIMEOUT_S) == 128 + number
        _, said = process.communicate()
    finally:
        process.kill()
    assert b"interrupted: standard output: 0 answered" in said
    assert b"Traceback" not in said


def _unread(pipe: int) -> int:
    (n_bytes,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return int(n_bytes)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["in.jsonl"], "the following arguments are required: -o/--output"),
        (
            ["in.jsonl", "-o", "out.jsonl", "--concurrency", "0"],
            "expected an integer from 1 to 65536, not '0'",
        ),
        (
            ["in.jsonl", "-o", "out.jsonl", "--concurrency", "x"],
            "expected an integer from 1 to 65536, not 'x'",
        ),
        (["in.jsonl", "-o", "out.jsonl", "--concurrency", "100000000"], "not '100000000'"),
        (["in.jsonl", "-o", "out.jsonl", "--port", "1"], "unknown argument --port"),
        (["none.jsonl", "-o", "out.jsonl"], "cannot read 'none.jsonl': No such file or directory"),
        (["in.jsonl", "-o", "in.jsonl"], "'in.jsonl' is the file of the requests"),
        (["in.jsonl", "-o", "no/out.jsonl"], "cannot write to 'no/out.jsonl': No such file or directory"),
        (["in.jsonl", "-o", "x" * 300], "File name too long"),
        (["x" * 300, "-o", "out.jsonl"], "File name too long"),
    ],
)
def test_a_wrong_command_is_one_line_and_leaves_no_file(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr("llamad.allocator.use", lambda name: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").touch()
    assert cli.main(["batch", *arguments, "--model-directory", str(tiny_model.parent)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("llamad: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
