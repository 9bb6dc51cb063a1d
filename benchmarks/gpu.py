"""Everything that is measured on a GPU, on a machine without a network: `python -m benchmarks.gpu`.

`benchmarks/gpu.sh` has built llamad and its peers before. Steps: `cpp-tests`, `py-tests`, `models` (written
with random weights), `bench`, `profile` (of llamad's CPU time at the most streams), and in the end one table
of ratios. All is bounded by `--minutes`; what has been measured by then is in `results.json` and the table,
and a later call goes on with `--with` that file.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shlex
import shutil
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import gpu_report, servers
from benchmarks.build_peers import BATCHED_BENCH, LLAMA_SERVER
from benchmarks.gpu_bundle import BUNDLE, TOKENIZER
from benchmarks.gpu_models import SHAPES, write_model
from benchmarks.gpu_results import FAILURES, Deadline, OutOfTime, Results
from benchmarks.gpu_run import ModelRun, Program
from benchmarks.gpu_tests import PYTHON_TESTS, OwnTests
from benchmarks.gpu_workloads import (
    DEFAULT_MODELS,
    FULL,
    MODELS,
    QUICK,
    Measurement,
    Scale,
    decode_measurements,
    measurements,
    mixed_measurements,
)
from benchmarks.load import run_load
from benchmarks.models import ROOT
from benchmarks.targets import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Sequence

BUILD = ROOT / "build" / "gpu"
STEPS = ("cpp-tests", "py-tests", "models", "bench", "profile")
_QUICK_MODELS = ("quick-bf16", "quick-q4_k")
_PROFILE_SECONDS, _QUICK_PROFILE_SECONDS = 4, 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--only", action="append", choices=STEPS, help="a step; repeatable (default: all)")
    parser.add_argument("--out", type=Path, default=BUILD / "results", help="where results go")
    parser.add_argument("--build", type=Path, default=BUILD, help="where benchmarks/gpu.sh has built")
    parser.add_argument("--peers", type=Path, help="directory of the peers' binaries (default: of the build)")
    parser.add_argument("--tokenizer", type=Path, default=BUNDLE / TOKENIZER, help="GGUF to take it from")
    parser.add_argument("--models-directory", type=Path, default=BUILD / "models", help="where models go")
    parser.add_argument("--model", action="append", choices=MODELS, help="repeatable (default: four of them)")
    parser.add_argument("--program", action="append", choices=(BATCHED_BENCH, LLAMA_SERVER, SUBJECT))
    parser.add_argument(
        "--variant", action="append", default=[], metavar="FLAGS",
        help='llamad once more with these flags, repeatable: --variant="--backend-sampling off"',
    )  # fmt: skip
    parser.add_argument("--streams", type=int, action="append", help="of decode workloads (default: all)")
    parser.add_argument("--workload", choices=("decode", "mixed"), help="only these (default: both)")
    parser.add_argument("--test", action="append", metavar="PATH", help="of pytest (default: all)")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each program (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=9.0, help="bound of it all (default: %(default)s)")
    parser.add_argument(
        "--with", dest="earlier", type=Path, action="append", default=[], metavar="PATH",
        help="results.json of an earlier call: what it has measured is not measured again; repeatable",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="tiny models, few tokens: does everything work?")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds={arguments.rounds}: must be at least 1")
    if missing := [path for path in arguments.earlier if not path.is_file()]:
        parser.error(f"--with={missing[0]}: there is no such file")
    if arguments.streams and min(arguments.streams) < 1:
        parser.error(f"--streams={min(arguments.streams)}: must be at least 1")
    return arguments


def main() -> int:
    """Run the steps and print the table; 1 where anything failed."""
    arguments = _arguments()
    out: Path = arguments.out
    for directory in (out, arguments.build / "logs"):
        directory.mkdir(parents=True, exist_ok=True)
    results = Results(out / "results.json", gpu_report.facts() | _versions())
    for path in arguments.earlier:
        results.take(path)
    results.save()
    try:
        _steps(arguments, results, Deadline(60 * arguments.minutes))
    except OutOfTime:
        print(f"The {arguments.minutes:g} minutes are over.", file=sys.stderr)
    report = _report(arguments, results)
    (out / "table.md").write_text(report)
    print(report)
    return 1 if results.failures else 0


def _steps(arguments: argparse.Namespace, results: Results, deadline: Deadline) -> None:
    steps = arguments.only or STEPS
    if "cpp-tests" in steps:
        OwnTests(arguments.build, results, deadline).cpp()
    if "py-tests" in steps:
        OwnTests(arguments.build, results, deadline).python(arguments.test or PYTHON_TESTS)
    for name in _models(arguments) if {"models", "bench", "profile"}.intersection(steps) else ():
        try:
            _model_steps(name, steps, arguments, results, deadline)
        except FAILURES as error:
            results.fail(name, error)


def _model_steps(
    name: str, steps: Sequence[str], arguments: argparse.Namespace, results: Results, deadline: Deadline
) -> None:
    model = _written(name, arguments, deadline)
    if "bench" in steps:
        for index in range(arguments.rounds):
            order = _programs(arguments)[:: 1 if index % 2 == 0 else -1]
            logs = arguments.build / "logs"
            run = ModelRun(model, _peers(arguments), logs, results, deadline, round=index)
            run.measure(_measurements(name, arguments), order)
            (arguments.out / "table.md").write_text(_report(arguments, results))
    if "profile" in steps:
        _profile(model, arguments, deadline)


def _models(arguments: argparse.Namespace) -> tuple[str, ...]:
    return tuple(arguments.model or (_QUICK_MODELS if arguments.quick else DEFAULT_MODELS))


def _peers(arguments: argparse.Namespace) -> Path:
    peers: Path = arguments.peers or arguments.build / "module" / "bin"
    return peers


def _scale(arguments: argparse.Namespace) -> Scale:
    return QUICK if arguments.quick else FULL


def _measurements(model: str, arguments: argparse.Namespace) -> list[Measurement]:
    scale = _scale(arguments)
    decode = [
        one
        for one in decode_measurements(model, scale)
        if not arguments.streams or one.workload.streams in arguments.streams
    ]
    of_kind = {"decode": decode, "mixed": mixed_measurements(model, scale)}
    return of_kind[arguments.workload] if arguments.workload else [*of_kind["decode"], *of_kind["mixed"]]


def _programs(arguments: argparse.Namespace) -> list[Program]:
    standard = [Program(kind, kind) for kind in (BATCHED_BENCH, LLAMA_SERVER, SUBJECT)]
    chosen = [one for one in standard if not arguments.program or one.kind in arguments.program]
    variants = [Program(f"{SUBJECT} {text}", SUBJECT, tuple(shlex.split(text))) for text in arguments.variant]
    return chosen + variants


def _written(name: str, arguments: argparse.Namespace, deadline: Deadline) -> Path:
    """The model's file, written where it is not there yet, alone in a directory of its own."""
    path: Path = arguments.models_directory / name / f"{name}.gguf"
    if path.exists():
        return path
    deadline.bound(60.0, at_least=30.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    shape, dtype = name.split("-", 1)
    partial = path.with_suffix(".partial")
    print(f"writing {path}", file=sys.stderr, flush=True)
    write_model(partial, arguments.tokenizer, SHAPES[shape], dtype).rename(path)
    return path


def _profile(model: Path, arguments: argparse.Namespace, deadline: Deadline) -> None:
    """CPU profiles of llamad, in pprof's format, while it serves the most streams, greedy and sampled."""
    seconds = _QUICK_PROFILE_SECONDS if arguments.quick else _PROFILE_SECONDS
    workloads = [one.workload for one in decode_measurements(model.stem, _scale(arguments))[-2:]]
    port, first = servers.free_port(), workloads[0]
    program = Program(SUBJECT, SUBJECT, ("--monitor-port", str(port)))
    launch = program.launch(model, first, _peers(arguments))
    limit = deadline.bound(120.0, at_least=30.0)
    log = arguments.build / "logs" / "profile.log"
    with servers.Server(launch, log) as server, ThreadPoolExecutor() as beside:
        run_load(server.port, first.warm_up(model.stem), first.n_slots, limit)
        for seed, workload in enumerate(workloads):
            kind = "greedy" if "greedy" in workload.name else "sampled"
            target = arguments.out / f"profile-{model.stem}-{workload.streams}-{kind}.pb.gz"
            # A fast GPU would be done with one for each stream before the profile is.
            load = replace(workload, conversations=3 * workload.streams).load(model.stem, seed)
            fetched = beside.submit(_fetch_profile, port, seconds, target)
            run_load(server.port, load, workload.streams, deadline.bound(120.0))
            fetched.result()


def _fetch_profile(port: int, seconds: int, target: Path) -> None:
    url = f"http://127.0.0.1:{port}/debug/pprof/profile?seconds={seconds}"
    with urllib.request.urlopen(url, timeout=seconds + 30) as answer, target.open("wb") as file:
        shutil.copyfileobj(answer, file)


def _versions() -> dict[str, object]:
    import llamad._engine as native  # noqa: PLC0415 - tests of the table need none

    version = importlib.metadata.version("llamad")
    return {"llamad": version, "llama.cpp": native.llama_cpp_commit, "cuda": native.cuda}


def _report(arguments: argparse.Namespace, results: Results) -> str:
    facts = "\n".join(f"- {name}: {value}" for name, value in results.facts.items())
    every = measurements([*MODELS], _scale(arguments))
    failures = "\n".join(f"- FAILED {one}" for one in results.failures)
    parts = ["## A smoke test: the figures mean nothing" if arguments.quick else "## On a GPU", facts]
    parts += [gpu_report.ratios(every, results.figures), failures]
    return "\n\n".join(part for part in parts if part) + "\n"


if __name__ == "__main__":
    sys.exit(main())
