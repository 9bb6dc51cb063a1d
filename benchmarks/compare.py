"""llamad against its peers, side by side: `python -m benchmarks.compare`.

Served workloads run against llama-server, batches without a server against llama-batched-bench. Both run in
turn on the same machine, with equal settings, under the same load; what counts is the ratio.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import build_peers, decode_rate, report, servers
from benchmarks.build_peers import BATCHED_BENCH, LLAMA_SERVER
from benchmarks.figures import server_figures
from benchmarks.load import run_load
from benchmarks.models import model_path
from benchmarks.targets import SUBJECT
from benchmarks.workloads import WORKLOADS, AnyWorkload, DecodeWorkload, Workload, quick

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from benchmarks.figures import Figures, ServerFigures

_RUN_TIMEOUT_S = 600.0
PROGRAMS = (LLAMA_SERVER, BATCHED_BENCH, SUBJECT)


def measure_server(
    launch: servers.Launch, model: Path, workload: Workload, seed: int, log_path: Path
) -> ServerFigures:
    """Start a server, warm it up, run the workload once and stop it."""
    with servers.Server(launch, log_path) as server:
        run_load(server.port, workload.warm_up(model.stem), workload.n_slots, _RUN_TIMEOUT_S)
        return measure_running(server, model, workload, seed, _RUN_TIMEOUT_S)


def measure_running(
    server: servers.Server, model: Path, workload: Workload, seed: int, timeout_s: float
) -> ServerFigures:
    """Run the workload once on a warm server.

    Raises:
        LoadError: a request failed.
        TimeoutError: it took longer than `timeout_s`.
    """
    load = workload.load(model.stem, seed)
    cpu_before = server.cpu_seconds()
    traces, wall_s = run_load(server.port, load, workload.streams, timeout_s)
    return server_figures(
        traces,
        [conversation.is_long for conversation in load],
        wall_s=wall_s,
        cpu_s=server.cpu_seconds() - cpu_before,
        peak_memory_mib=server.peak_memory_mib(),
    )


def contenders(workload: AnyWorkload) -> tuple[str, str]:
    """The programs that run a workload: the peer, then llamad."""
    return (BATCHED_BENCH if isinstance(workload, DecodeWorkload) else LLAMA_SERVER), SUBJECT


def measure(program: str, workload: AnyWorkload, peers: Path, seed: int) -> Figures:
    """Run a workload once on one program.

    Args:
        program: one of the workload's `contenders`.
        workload: what to run.
        peers: directory of the peers' binaries.
        seed: of the prompts.
    """
    model = model_path(workload.model)
    if isinstance(workload, DecodeWorkload):
        if program == SUBJECT:
            return decode_rate.llamad(model, workload)
        return decode_rate.batched_bench(peers / program, model, workload)
    with tempfile.TemporaryDirectory(prefix="llamad-bench-") as logs:
        launch = (
            servers.llamad(model, workload)
            if program == SUBJECT
            else servers.llama_server(peers / program, model, workload)
        )
        return measure_server(launch, model, workload, seed, Path(logs, "log"))


def compare(
    workload: AnyWorkload, programs: Sequence[str], peers: Path, rounds: int
) -> dict[str, list[Figures]]:
    """Run a workload `rounds` times on each program, in turn, alternating who goes first."""
    figures: dict[str, list[Figures]] = {program: [] for program in programs}
    for index in range(rounds):
        for program in programs[:: 1 if index % 2 == 0 else -1]:
            one = measure(program, workload, peers, seed=index)
            figures[program].append(one)
            line = f"{workload.name} · round {index + 1} · {program}: {report.progress(one)}"
            print(line, file=sys.stderr, flush=True)
    return figures


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round of few tokens, as a smoke test")
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="only workloads whose name contains TEXT; repeatable"
    )
    parser.add_argument("--program", choices=PROGRAMS, help="run one program only (default: all)")
    parser.add_argument(
        "--peers", type=Path, metavar="DIRECTORY", help="use the binaries in it instead of building them"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every round's figures here")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="append the section to this file")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    if not _schedule(arguments):
        names = "\n  ".join(workload.name for workload in WORKLOADS)
        parser.error(f"nothing to run; the workloads are:\n  {names}")
    return arguments


def _schedule(arguments: argparse.Namespace) -> dict[AnyWorkload, list[str]]:
    """Which programs run which workloads."""
    schedule = {}
    for workload in WORKLOADS:
        programs = [name for name in contenders(workload) if arguments.program in {None, name}]
        if programs and (not arguments.only or any(text in workload.name for text in arguments.only)):
            schedule[quick(workload) if arguments.quick else workload] = programs
    return schedule


def _versions(programs: Collection[str], given: Path | None) -> dict[str, str]:
    built = "built from the same llama.cpp source with the same options"
    versions = dict.fromkeys(programs, "a binary given by --peers" if given else built)
    if SUBJECT in versions:
        import llamad._engine as native  # noqa: PLC0415 - peers can be measured without it

        version = importlib.metadata.version("llamad")
        versions[SUBJECT] = f"{version}, llama.cpp {native.llama_cpp_commit}"
    return versions


def main() -> int:
    """Run the comparison and print its tables."""
    arguments = _arguments()
    schedule = _schedule(arguments)
    programs = {name: None for of_workload in schedule.values() for name in of_workload}
    peers: Path = arguments.peers or build_peers.BUILD_DIRECTORY / "bin"
    if not arguments.peers and programs.keys() - {SUBJECT}:
        peers = build_peers.build()
    result = report.Report(_versions(programs, arguments.peers), quick=arguments.quick)
    for workload, of_workload in schedule.items():
        rounds = 1 if arguments.quick else arguments.rounds
        result.add(workload, compare(workload, of_workload, peers, rounds))
        if arguments.json:  # each time, so that a run that is cut short leaves what it has
            arguments.json.write_text(json.dumps(result.as_json(), indent=1) + "\n")
    print(result.markdown())
    if arguments.markdown:
        with arguments.markdown.open("a") as results_file:
            results_file.write("\n" + result.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
