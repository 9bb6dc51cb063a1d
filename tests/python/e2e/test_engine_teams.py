"""Threads that compute: an engine has them while it works, and gives them back when it has nothing to do."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

NO_TEAMS = "computes without OpenMP"

# Compute threads have the name of the engine's, which has made them.
PROGRAM = f"""
import sys, time
from pathlib import Path
from llamad import Engine

def threads():
    names = []
    for task in Path("/proc/self/task").iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except FileNotFoundError:  # it has just ended
            continue
    return names.count("llamad-engine")

def work(engine):
    seen = []
    options = dict(max_tokens=200, temperature=0, ignore_eos=True)
    result = engine.submit("one world", on_token=lambda _: seen.append(threads()), **options).result(60)
    return result.text, max(seen)

def rested():
    deadline = time.monotonic() + 60
    while threads() > 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    return threads()

with (
    Engine(sys.argv[1], n_threads=3, n_parallel=1, n_ctx=256) as first,
    Engine(sys.argv[1], n_threads=3, n_parallel=1, n_ctx=256) as second,
):
    assert threads() == 2, threads()
    text, most = work(first)
    if most == 2:
        raise SystemExit({NO_TEAMS!r})
    for engine in (second, first):
        assert rested() == 2
        assert work(engine)[0] == text
    assert rested() == 2
"""


def test_an_idle_engine_has_no_compute_threads(tiny_model: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tiny_model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if NO_TEAMS in done.stderr:
        pytest.skip(NO_TEAMS)
    assert done.returncode == 0, done.stderr
