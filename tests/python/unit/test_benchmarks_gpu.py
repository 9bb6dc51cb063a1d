"""The GPU benchmark without a GPU: its workloads, its table, and what a later call takes up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import gpu_report
from benchmarks.build_peers import BATCHED_BENCH, LLAMA_SERVER
from benchmarks.client import LoadError
from benchmarks.gpu_results import Results
from benchmarks.gpu_run import Program, served_together
from benchmarks.gpu_workloads import (
    DEFAULT_MODELS,
    FULL,
    MODELS,
    QUICK,
    STREAMS,
    decode_measurements,
    measurements,
    mixed_measurements,
)
from benchmarks.targets import SUBJECT

MODEL = "8b-bf16"


def cells(table: str) -> list[list[str]]:
    """The rows of a Markdown table, without titles and rule."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_decode_figures_are_divided_by_both_peers() -> None:
    workload = f"{MODEL}, 64 x 256, greedy"
    figures = {
        workload: {
            BATCHED_BENCH: [{"decode_per_s": 4000.0}],
            LLAMA_SERVER: [{"tokens_per_s": 1000.0, "decode_per_s": 1100.0}],
            SUBJECT: [{"tokens_per_s": n, "decode_per_s": 3600.0} for n in (1499.0, 1400.0, 9000.0)],
            f"{SUBJECT} --backend-sampling off": [{"tokens_per_s": 1200.0, "decode_per_s": 3000.0}],
        }
    }
    rows = cells(gpu_report.ratios(measurements([MODEL], FULL), figures))
    variant = f"{SUBJECT} --backend-sampling off"
    assert [row[1:] for row in rows] == [
        [SUBJECT, "tok/s", "1,499", LLAMA_SERVER, "1,000", "1.50", "≥ 1.50", "yes"],
        [SUBJECT, "decode tok/s", "3,600", LLAMA_SERVER, "1,100", "3.27", "", ""],
        [SUBJECT, "decode tok/s", "3,600", BATCHED_BENCH, "4,000", "0.90", "≥ 0.85", "yes"],
        [variant, "tok/s", "1,200", LLAMA_SERVER, "1,000", "1.20", "≥ 1.50", "**no**"],
        [variant, "decode tok/s", "3,000", LLAMA_SERVER, "1,100", "2.73", "", ""],
        [variant, "decode tok/s", "3,000", BATCHED_BENCH, "4,000", "0.75", "≥ 0.85", "**no**"],
    ]  # fmt: skip
    assert {row[0] for row in rows} == {workload}


def test_a_pause_under_long_prompts_is_divided_by_llamads_own_without() -> None:
    figures = {
        f"{MODEL}, no long prompts": {SUBJECT: [{"itl_p50_ms": 10.0}]},
        f"{MODEL}, long prompts": {SUBJECT: [{"itl_p99_ms": 29.0}]},
    }
    rows = cells(gpu_report.ratios(measurements([MODEL], FULL), figures))
    assert [row[5:] for row in rows] == [["10.00", "2.90", "≤ 3.00", "yes"]]


def test_a_table_of_nothing_says_so() -> None:
    assert gpu_report.ratios(measurements([MODEL], FULL), {}) == "Nothing to compare was measured."


def test_the_targets_are_at_one_and_at_many_streams() -> None:
    bounds = {
        one.workload.streams: [(c.figure, c.peer, c.target.limit) for c in one.comparisons if c.target]
        for one in decode_measurements(MODEL, FULL)
    }
    many = [("tokens_per_s", LLAMA_SERVER, 1.5), ("decode_per_s", BATCHED_BENCH, 0.85)]
    assert bounds == {1: [("tokens_per_s", LLAMA_SERVER, 1.0)], 8: [], 32: [], 64: many, 128: many}


def test_one_server_serves_all_decode_workloads_and_another_the_rest() -> None:
    groups = list(served_together(measurements(DEFAULT_MODELS[:2], FULL)))
    assert [len(group) for group in groups] == [2 * len(STREAMS), 3, 2 * len(STREAMS), 3]
    assert {one.workload.n_slots for one in groups[0]} == {128}
    assert set(DEFAULT_MODELS) <= set(MODELS)


def test_slots_hold_prompt_and_answer() -> None:
    for one in measurements([MODEL], FULL) + measurements([MODEL], QUICK):
        workload = one.workload
        words = workload.system_words + max(workload.prompt_words, workload.long_words)
        assert 1.2 * words + 60 + workload.max_tokens <= workload.n_ctx, workload.name


@pytest.mark.parametrize("kind", [SUBJECT, LLAMA_SERVER])
def test_servers_are_told_to_put_all_layers_on_the_gpu(kind: str) -> None:
    workload = mixed_measurements(MODEL, FULL)[0].workload
    launch = Program(kind, kind, ("--extra", "1")).launch(Path("m", "m.gguf"), workload, Path("bin"))
    assert launch.command[launch.command.index("--n-gpu-layers") + 1] == ("-1" if kind == SUBJECT else "999")
    assert launch.command[-2:] == ["--extra", "1"]


def test_a_later_call_takes_up_an_earlier_ones_results(tmp_path: Path) -> None:
    first, second = (Results(tmp_path / f"{n}.json", {"gpus": [f"card {n}"]}) for n in (1, 2))
    first.add("w", SUBJECT, {"tokens_per_s": 1.0})
    first.fail("tests", RuntimeError("one failed"))
    second.add("w", SUBJECT, {"tokens_per_s": 3.0})
    second.take(first.path)
    second.save()
    content = json.loads(second.path.read_text())
    assert gpu_report.figure(content["figures"], "w", SUBJECT, "tokens_per_s") == 2.0
    assert content["failures"] == ["tests: RuntimeError: one failed"]
    assert content["facts"] == {"gpus": ["card 2"]}


def test_what_has_been_measured_after_all_has_not_failed(tmp_path: Path) -> None:
    first, second = (Results(tmp_path / f"{n}.json") for n in (1, 2))
    for name in ("w", "w2"):
        first.fail(f"{name} · {SUBJECT}", LoadError("refused"))
    second.take(first.path)
    second.add("w", SUBJECT, {"tokens_per_s": 1.0})
    assert second.failures == [f"w2 · {SUBJECT}: LoadError: refused"]
