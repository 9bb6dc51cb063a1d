"""How the soak judges what it has seen."""

from __future__ import annotations

import json
import os

import pytest

from benchmarks.soak import Look, anonymous_bytes, faults_of, slope

QUIET = Look(memory_bytes=100 << 20, descriptors=20, threads=4)


def test_slope_of_a_line_and_of_noise_around_a_level() -> None:
    assert slope([(x, 3.0 * x + 5) for x in range(10)]) == pytest.approx(3.0)
    assert slope([(x, 7.0 + (-1) ** x) for x in range(1000)]) == pytest.approx(0.0, abs=1e-2)
    assert slope([(1.0, 2.0)]) == 0.0


def test_memory_of_a_process() -> None:
    assert 1 << 20 < anonymous_bytes(os.getpid()) < 1 << 36


def samples(growth_bytes: int) -> list[tuple[float, float]]:
    return [(x, (100 << 20) + growth_bytes * x / 99) for x in range(100)]


def test_nothing_amiss() -> None:
    log = json.dumps({"level": "warning", "logger": "llamad", "message": "slow client"})
    assert faults_of(QUIET, QUIET, samples(4 << 20), evictions=9, log=log) == []


@pytest.mark.parametrize(
    ("after", "growth", "evictions", "log", "fault"),
    [
        (QUIET, 32 << 20, 9, "", "memory grew by 32.0 MiB"),
        (Look(100 << 20, 22, 4), 0, 9, "", "2 descriptors leaked"),
        (Look(100 << 20, 20, 104), 0, 9, "", "100 threads leaked"),
        (QUIET, 0, 0, "", "no model was evicted: the budget was no constraint"),
        (QUIET, 0, 9, '{"level":"error","logger":"a","message":"b"}', "log: a: b"),
    ],
)
def test_faults(after: Look, growth: int, evictions: int, log: str, fault: str) -> None:
    assert faults_of(QUIET, after, samples(growth), evictions, log) == [fault]
