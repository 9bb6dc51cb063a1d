"""The GPU benchmark without a GPU: its table, its clock, how it goes on after failures, and what travels."""

from __future__ import annotations

import json
import subprocess
import tarfile
from contextlib import nullcontext
from pathlib import Path, PurePosixPath

import pytest

from benchmarks import gpu_bundle, gpu_report, gpu_results
from benchmarks.build_peers import BATCHED_BENCH, LLAMA_SERVER
from benchmarks.gpu_results import Deadline, OutOfTime, Results
from benchmarks.gpu_run import ModelRun, Program, served_together
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
from benchmarks.models import ROOT
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


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("CMakeLists.txt", True),
        ("src/llama.cpp", True),
        ("ggml/src/ggml.c", True),
        ("ggml/src/ggml-cuda/template-instances/mmq-instance-q4_k.cu", True),
        ("ggml/src/ggml-vulkan/ggml-vulkan.cpp", False),
        ("ggml/src/ggml-rpc/ggml-rpc.cpp", True),
        ("tools/server/server.cpp", True),
        ("tools/server/tests/unit/test_basic.py", False),
        ("tools/ui/CMakeLists.txt", True),
        ("tools/ui/src/App.svelte", False),
        ("docs/build.md", False),
        ("models/ggml-vocab-gpt-2.gguf", True),
        ("models/ggml-vocab-llama-bpe.gguf", False),
    ],
)
def test_only_what_is_compiled_or_tested_travels(path: str, expected: bool) -> None:
    assert gpu_bundle.needed(PurePosixPath(path)) is expected


def test_the_archive_is_named_as_the_cache_names_it(tmp_path: Path) -> None:
    source = tmp_path / "llama.cpp-abc-def"
    for name in ("CMakeLists.txt", "docs/a.md", "src/a.cpp"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    gpu_bundle.pack_llama_cpp(source, tmp_path / "a.tar.xz")
    with tarfile.open(tmp_path / "a.tar.xz") as tar:
        assert tar.getnames() == [f"{source.name}/CMakeLists.txt", f"{source.name}/src/a.cpp"]


def test_wheels_are_asked_for_by_what_the_project_declares() -> None:
    wanted = gpu_bundle.requirements()
    assert any(text.startswith("blacksheep") for text in wanted)
    assert any(text.startswith("pytest-xdist") for text in wanted)
    assert not any(text.startswith(("ruff", "mypy", "clang-", "cmake")) for text in wanted)
    command = gpu_bundle.pip_download(wanted, Path("wheels"))
    assert command[-len(wanted) :] == wanted
    assert "--only-binary=:all:" in command


def test_the_tree_leaves_room_for_the_bundle() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a checkout")
    # 54 MiB were the bundle's share on 2026-11-23.
    assert gpu_bundle.size_mib(gpu_bundle.tree_files()) < 8


def test_building_without_a_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "gpu.sh"
    done = subprocess.run(
        ["bash", str(script), str(tmp_path), str(tmp_path / "build")],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "make gpu-bundle" in done.stderr
