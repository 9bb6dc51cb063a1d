"""`llamad bench` on a tiny model: what it prints and writes, not how fast anything is."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 100.0
"""A bound against hanging; no test waits for it to pass."""

QUICK = ("--seconds", "60", "--streams", "1,2", "--prompt-tokens", "16", "--new-tokens", "4", "--n-ctx", "64")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llamad", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def test_json_alone_on_stdout(tiny_model: Path) -> None:
    done = bench(str(tiny_model), *QUICK, "--threads", "1", "--json", "-")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["model"]["file"] == tiny_model.name
    assert record["threads"] is None
    rows = record["streams"]["rows"]
    assert [row["streams"] for row in rows] == [1, 2]
    for row in rows:
        for name in ("prefill_tok_s", "decode_tok_s", "ttft_p50_s", "ttft_p95_s", "itl_p50_s", "itl_p99_s"):
            figure = row[name]
            assert 0 <= figure["least"] <= figure["median"] <= figure["most"]
        assert row["prefill_tok_s"]["least"] > 0
        assert row["decode_tok_s"]["least"] > 0
    assert record["suggestion"]["n_parallel"]["value"] in (1, 2)


def test_threads_are_compared_and_a_table_printed(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = bench(str(tiny_model), *QUICK, "--thread-counts", "1,2", "--json", str(file))
    assert done.returncode == 0, done.stderr
    record = json.loads(file.read_text())
    assert set(record["suggestion"]) >= {"n_parallel"}
    if record["threads"] is not None:  # a very busy machine has no time for it, and says so
        assert {row["threads"] for row in record["threads"]["rows"]} == {1, 2}
        assert "varied: threads" in done.stdout
        assert "--threads-batch " in done.stdout
    assert "varied: requests at once" in done.stdout
    assert f"--n-parallel {record['suggestion']['n_parallel']['value']} " in done.stdout
    assert done.stderr == ""


def test_too_little_time_is_an_error(tiny_model: Path) -> None:
    done = bench(str(tiny_model), "--seconds", "0.001", "--threads", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "give more --seconds" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seconds", "0"), "--seconds: must be a number above 0, got '0'"),
        (("--streams", "1,x"), "--streams: must be an integer from 1 to 256, got 'x'"),
        (("--new-tokens", "1"), "--new-tokens: must be an integer from 2 to 8192, got '1'"),
        (("--threads", "1", "--thread-counts", "1,2"), "give one of them"),
    ],
)
def test_wrong_flags(tiny_model: Path, arguments: tuple[str, ...], message: str) -> None:
    done = bench(str(tiny_model), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
