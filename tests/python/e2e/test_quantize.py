"""`llamad quantize` on the real default model, and what is left when it is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from llamad import Engine

from tests.python.support.terminal import CTRL_C, Terminal
from tests.python.support.tiny_gguf import TinyModel, write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUT_S = 60.0
"""A bound against hanging; no test waits for it to pass."""


@pytest.fixture(scope="module")
def large_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of many tensors, which takes seconds to quantize."""
    path = tmp_path_factory.mktemp("large") / "large.gguf"
    return write_tiny_model(path, TinyModel(n_layers=12, width=512, n_heads=8, dtype="f16"))


def command(source: Path, target: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "llamad", "quantize", str(source), str(target), "--threads", "1", *flags]


def finished(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def test_the_default_model_becomes_q8_0_and_generates(smollm2: Path, tmp_path: Path) -> None:
    target = tmp_path / "q8_0.gguf"
    refused = finished(command(smollm2, target))
    assert refused.returncode == 2
    assert "--allow-requantize" in refused.stderr
    assert list(tmp_path.iterdir()) == []

    flags = ("--allow-requantize", "--type", "Q8_0")
    made = finished(command(smollm2, target, *flags))
    assert made.returncode == 0, made.stderr
    assert made.stderr == ""  # no bar where nobody looks
    assert made.stdout.startswith(f"{target}: ")
    with Engine(target, n_threads=1, n_ctx=256) as engine:
        assert engine.info.quantization == "Q8_0"
        answer = engine.chat("What is 2+2?", max_tokens=16, temperature=0)
    assert "4" in answer.text


@contextlib.contextmanager
def at_work(source: Path, target: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start quantizing, and wait until something is written."""
    flags = ("--type", "q4_k_m")
    process = subprocess.Popen(command(source, target, *flags), stderr=subprocess.PIPE)
    try:
        until(lambda: any(path.stat().st_size for path in target.parent.iterdir()))
        yield process
    finally:
        process.kill()
        process.communicate()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_killed_one_leaves_nothing(large_model: Path, tmp_path: Path, number: signal.Signals) -> None:
    with at_work(large_model, tmp_path / "out.gguf") as process:
        process.send_signal(number)
        code = process.wait(TIMEOUT_S)
    assert code == (130 if number == signal.SIGINT else -number)
    until(lambda: list(tmp_path.iterdir()) == [])


def test_a_worker_that_dies_is_an_error(large_model: Path, tmp_path: Path) -> None:
    with at_work(large_model, tmp_path / "out.gguf") as process:
        os.kill(worker_of(process.pid), signal.SIGABRT)
        _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert b"the quantizer has died" in errors
    assert list(tmp_path.iterdir()) == []


def worker_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_at_a_terminal_there_is_a_bar_and_ctrl_c_stops_it(large_model: Path, tmp_path: Path) -> None:
    with Terminal(command(large_model, tmp_path / "out.gguf", "--type", "q4_k_m"), {}) as terminal:
        terminal.expect("tensors")
        until(lambda: any(path.stat().st_size for path in tmp_path.iterdir()))
        terminal.type(CTRL_C)
        terminal.expect("interrupted")
        assert terminal.exit_code() == 130
    assert list(tmp_path.iterdir()) == []
