"""`llamad chat` without a terminal: one question, or a conversation line by line."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 60.0
"""A bound against hanging; no test waits for it to pass."""

FLAGS = ("--threads", "1", "--n-ctx", "256", "--temperature", "0", "-n", "12")


def chat(model: Path, *flags: str, typed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "llamad", "chat", str(model), *FLAGS, *flags]
    return subprocess.run(command, input=typed, capture_output=True, timeout=TIMEOUT_S, check=False)


def test_one_question(smollm2: Path) -> None:
    asked = chat(smollm2, "-p", "What is the capital of Japan?")
    assert (asked.returncode, asked.stderr) == (0, b"")
    assert b"Tokyo" in asked.stdout
    piped = chat(smollm2, "-p", "-", typed=b"What is the capital of Japan?")
    assert piped.stdout == asked.stdout


def test_lines_are_one_conversation(tiny_model: Path, tmp_path: Path) -> None:
    """Its weights are not quantized: what is computed at once and what in parts is too alike to differ."""
    file, roomy = tmp_path / "kept.json", ("--n-ctx", "1024")
    lines = f"Hello\\\nthere\n\n//etc?\n/save {file}\n/exit\nnever asked\n"
    done = chat(tiny_model, *roomy, "--system", "Be brief.", typed=lines.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    again = chat(tiny_model, *roomy, typed=f"/load {file}\n/retry\n".encode())
    assert again.returncode == 0
    assert again.stdout.strip()
    assert done.stdout.endswith(again.stdout)
    text = file.read_text()
    assert '"Hello\\nthere"' in text
    assert '"/etc?"' in text
    assert "never" not in text


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (b"/nope\n", b"unknown command /nope"),
        (b"word " * 400, b"the context is full"),
        (b"caf\xe9\n", b"stdin is not utf-8"),
    ],
)
def test_the_first_error_ends_it(smollm2: Path, typed: bytes, message: bytes) -> None:
    done = chat(smollm2, typed=typed)
    assert (done.returncode, done.stdout) == (1, b"")
    assert message in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--top-p", "7"), b"top_p must be"),
        (("--top-k", "many"), b"top_k must be an integer, got 'many'"),
        (("--temprature", "1"), b"did you mean --temperature"),
    ],
)
def test_wrong_flags(tiny_model: Path, flags: tuple[str, ...], message: bytes) -> None:
    done = chat(tiny_model, *flags)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_model_must_be_named_where_there_are_several(tiny_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "llamad", "chat", "--model-directory", str(tmp_path)]
    for name in ("one", "two"):
        shutil.copy(tiny_model, tmp_path / f"{name}.gguf")
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 2
    assert b"holds one, two" in done.stderr


def test_a_reader_that_leaves_ends_it_quietly(smollm2: Path) -> None:
    command = [sys.executable, "-m", "llamad", "chat", str(smollm2), *FLAGS, "-p", "Hi", "--ignore-eos"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(TIMEOUT_S) == 1


def test_an_interrupted_answer_is_what_came(smollm2: Path) -> None:
    flags = ("--threads", "1", "--ignore-eos", "-p", "Hi")
    command = [sys.executable, "-m", "llamad", "chat", str(smollm2), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=TIMEOUT_S)
    assert first
    assert rest.endswith(b"\n")
    assert (process.returncode, errors) == (130, b"")
