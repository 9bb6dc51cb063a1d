"""Runs of the GPU benchmark without a GPU: its clock, and how it goes on after failures."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Self

import pytest

from benchmarks import gpu_results, gpu_run, servers
from benchmarks.build_peers import BATCHED_BENCH, LLAMA_SERVER
from benchmarks.client import LoadError, Trace
from benchmarks.figures import ServerFigures, server_figures
from benchmarks.gpu_results import Deadline, OutOfTime, Results
from benchmarks.gpu_run import ModelRun, Program
from benchmarks.gpu_workloads import QUICK, decode_measurements, measurements, mixed_measurements
from benchmarks.servers import Launch
from benchmarks.workloads import Workload

MODEL = "8b-bf16"


def test_what_fails_is_noted_and_the_rest_goes_on(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.json")
    run = ModelRun(tmp_path / "m.gguf", tmp_path, tmp_path, results, Deadline(60), round=0)
    programs = [Program(kind, kind) for kind in (BATCHED_BENCH, LLAMA_SERVER)]
    run.measure(measurements([MODEL], QUICK), programs)
    noted = json.loads(results.path.read_text())["failures"]
    # llama-batched-bench has no part in the group of mixed workloads.
    assert [text.split(" · ")[1].split(":")[0] for text in noted] == [
        BATCHED_BENCH,
        LLAMA_SERVER,
        LLAMA_SERVER,
    ]
    assert all("FileNotFoundError" in text for text in noted)


@pytest.mark.parametrize(
    ("error", "measured", "failed"),
    [(LoadError("refused"), [0, 2], [1]), (KeyError("usage"), [0, 2], [1]), (TimeoutError(), [0], [1])],
)
def test_a_workload_that_fails_ends_no_other_of_its_server_unless_that_hangs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    measured: list[int],
    failed: list[int],
) -> None:
    names = [one.workload.name for one in mixed_measurements(MODEL, QUICK)]
    figures = server_figures([[Trace(0.0, [1.0, 2.0], 1, 1)]], [False], wall_s=1, cpu_s=1, peak_memory_mib=1)

    class Started:
        port = 0

        def __init__(self, launch: Launch, log: Path) -> None:
            log.write_text("what the server said")

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

    def measure(server: object, model: Path, workload: Workload, seed: int, limit: float) -> ServerFigures:
        if workload.name == names[1]:
            raise error
        return figures

    monkeypatch.setattr(servers, "Server", Started)
    monkeypatch.setattr(gpu_run, "run_load", lambda *_: None)
    monkeypatch.setattr(gpu_run, "measure_running", measure)
    results = Results(tmp_path / "results.json")
    run = ModelRun(tmp_path / "m.gguf", tmp_path, tmp_path, results, Deadline(60), round=0)
    run.measure(mixed_measurements(MODEL, QUICK), [Program(LLAMA_SERVER, LLAMA_SERVER)])
    assert list(results.figures) == [names[index] for index in measured]
    assert [text.split(" · ")[0] for text in results.failures] == [names[index] for index in failed]
    assert "what the server said" in capsys.readouterr().err


def test_batches_that_were_measured_before_a_failure_count(tmp_path: Path) -> None:
    lines = [json.dumps({"pl": streams, "tg": 16, "t_tg": 0.5}) for streams in QUICK.streams]
    script = f"#!/bin/sh\necho '{lines[0]}'\nprintf '%s' '{lines[1][:-2]}'\nexit 1\n"
    (tmp_path / BATCHED_BENCH).write_text(script)
    (tmp_path / BATCHED_BENCH).chmod(0o755)
    results = Results(tmp_path / "results.json")
    run = ModelRun(tmp_path / "m.gguf", tmp_path, tmp_path, results, Deadline(60), round=0)
    run.measure(decode_measurements(MODEL, QUICK), [Program(BATCHED_BENCH, BATCHED_BENCH)])
    assert {name: by_program[BATCHED_BENCH] for name, by_program in results.figures.items()} == {
        f"{MODEL}, 1 x 16, {how}": [{"decode_per_s": 32.0}] for how in ("greedy", "sampled")
    }
    assert ["exit status 1" in text for text in results.failures] == [True]


def test_batches_that_are_missing_are_noted(tmp_path: Path) -> None:
    (tmp_path / BATCHED_BENCH).write_text("#!/bin/sh\n")
    (tmp_path / BATCHED_BENCH).chmod(0o755)
    results = Results(tmp_path / "results.json")
    run = ModelRun(tmp_path / "m.gguf", tmp_path, tmp_path, results, Deadline(60), round=0)
    run.measure(decode_measurements(MODEL, QUICK), [Program(BATCHED_BENCH, BATCHED_BENCH)])
    assert ["no batch of [1, 4] was measured" in text for text in results.failures] == [True]


def test_nothing_is_begun_when_the_time_is_over(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.json")
    run = ModelRun(tmp_path / "m.gguf", tmp_path, tmp_path, results, Deadline(1), round=0)
    with pytest.raises(OutOfTime):
        run.measure(measurements([MODEL], QUICK), [Program(LLAMA_SERVER, LLAMA_SERVER)])
    assert Deadline(1000).bound(20) == 20
    assert Deadline(10).bound(20) <= 10


def test_what_an_earlier_call_has_measured_is_not_measured_again(tmp_path: Path) -> None:
    """Whatever is measured fails here: there is no server."""
    results = Results(tmp_path / "results.json")
    mixed = mixed_measurements(MODEL, QUICK)
    for one in mixed[:2]:
        results.add(one.workload.name, LLAMA_SERVER, {"tokens_per_s": 1.0})
    for index, first in ((0, mixed[2]), (1, mixed[0])):
        run = ModelRun(tmp_path / "m.gguf", tmp_path, tmp_path, results, Deadline(60), round=index)
        run.measure(mixed, [Program(LLAMA_SERVER, LLAMA_SERVER)])
        assert results.failures.pop().startswith(f"{first.workload.name} · {LLAMA_SERVER}: FileNotFound")
    results.add(mixed[2].workload.name, LLAMA_SERVER, {"tokens_per_s": 1.0})
    ModelRun(tmp_path / "m.gguf", tmp_path, tmp_path, results, Deadline(60), round=0).measure(
        mixed, [Program(LLAMA_SERVER, LLAMA_SERVER)]
    )
    assert results.failures == []


@pytest.mark.parametrize(("minutes_are_over", "n_failures"), [(True, 0), (False, 1)])
def test_what_the_end_of_the_run_cuts_off_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes_are_over: bool, n_failures: int
) -> None:
    clock = [0.0]
    monkeypatch.setattr(gpu_results, "monotonic", lambda: clock[0])
    results = Results(tmp_path / "results.json")
    run = ModelRun(tmp_path / "m.gguf", tmp_path, tmp_path, results, Deadline(600), round=0)

    def time_out(*_: object) -> None:
        clock[0] = 599.0 if minutes_are_over else 120.0
        raise TimeoutError

    monkeypatch.setattr(ModelRun, "_server", time_out)
    with pytest.raises(OutOfTime) if minutes_are_over else nullcontext():
        run.measure(mixed_measurements(MODEL, QUICK), [Program(LLAMA_SERVER, LLAMA_SERVER)])
    assert len(results.failures) == n_failures
