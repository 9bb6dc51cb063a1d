"""llamad against llama-server, side by side: `python -m benchmarks.compare`.

Both run in turn on the same machine, with equal settings, under the same load; what counts is the ratio.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import build_llama_server, client, report, servers
from benchmarks.models import model_path
from benchmarks.workloads import WORKLOADS, Workload, quick

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SUBJECT, PEER = "llamad", "llama-server"
_RUN_TIMEOUT_S = 600.0

Launchers = dict[str, "Callable[[Path, Workload], servers.Launch]"]


def measure(
    launch: servers.Launch, model: Path, workload: Workload, seed: int, log_path: Path
) -> report.Figures:
    """Start a server, warm it up, run the workload once and stop it."""
    warm_up, bodies = workload.warm_up_bodies(model.stem), workload.bodies(model.stem, seed)
    with servers.Server(launch, log_path) as server:
        client.run_load(server.port, warm_up, workload.streams, _RUN_TIMEOUT_S)
        cpu_before = server.cpu_seconds()
        traces, wall_s = client.run_load(server.port, bodies, workload.streams, _RUN_TIMEOUT_S)
        cpu_s = server.cpu_seconds() - cpu_before
        return report.figures(traces, wall_s, cpu_s, server.peak_memory_mib())


def compare(workloads: Sequence[Workload], launchers: Launchers, rounds: int) -> dict[str, report.Rounds]:
    """Run every workload `rounds` times on each server, in turn, alternating who goes first."""
    results: dict[str, report.Rounds] = {}
    with tempfile.TemporaryDirectory(prefix="llamad-bench-") as logs:
        for workload in workloads:
            model = model_path(workload.model)
            by_server: report.Rounds = {name: [] for name in launchers}
            for index in range(rounds):
                for name in list(launchers)[:: 1 if index % 2 == 0 else -1]:
                    launch = launchers[name](model, workload)
                    one = measure(launch, model, workload, index, Path(logs, f"{name}.log"))
                    by_server[name].append(one)
                    print(_progress(workload, name, index, one), file=sys.stderr, flush=True)
            results[workload.name] = by_server
    return results


def _progress(workload: Workload, name: str, index: int, one: report.Figures) -> str:
    return (
        f"{workload.name} · round {index + 1} · {name}: {one.tokens_per_s:,.0f} tok/s, "
        f"TTFT p50 {one.ttft_p50_ms:,.1f} ms, CPU {one.cpu_us_per_token:,.0f} µs/token"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round of few tokens, as a smoke test")
    parser.add_argument("--only", default="", metavar="TEXT", help="only workloads whose name contains TEXT")
    parser.add_argument("--server", choices=[SUBJECT, PEER], help="run one server only (default: both)")
    parser.add_argument(
        "--llama-server", type=Path, metavar="PATH", help="use this binary instead of building one"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every round's figures here")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="append the section to this file")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    return arguments


def _launchers(arguments: argparse.Namespace) -> Launchers:
    launchers: Launchers = {}
    if arguments.server in {None, PEER}:
        binary: Path = arguments.llama_server or build_llama_server.build()
        launchers[PEER] = lambda model, workload: servers.llama_server(binary, model, workload)
    if arguments.server in {None, SUBJECT}:
        launchers[SUBJECT] = servers.llamad
    return launchers


def _versions(launchers: Launchers, given_binary: Path | None) -> dict[str, str]:
    versions = {}
    if SUBJECT in launchers:
        import llamad._engine as native  # noqa: PLC0415 - llama-server alone can be measured without it

        versions[SUBJECT] = f"{importlib.metadata.version('llamad')}, llama.cpp {native.llama_cpp_commit}"
    if PEER in launchers:
        built = "built from the same llama.cpp source with the same options"
        versions[PEER] = f"{given_binary.name} given by --llama-server" if given_binary else built
    return versions


def main() -> int:
    """Run the comparison and print its table."""
    arguments = _arguments()
    workloads = [workload for workload in WORKLOADS if arguments.only in workload.name]
    if not workloads:
        names = "\n  ".join(workload.name for workload in WORKLOADS)
        print(f"no workload contains {arguments.only!r}; there are:\n  {names}", file=sys.stderr)
        return 2
    if arguments.quick:
        workloads = [quick(workload) for workload in workloads]
    rounds = 1 if arguments.quick else arguments.rounds

    launchers = _launchers(arguments)
    results = compare(workloads, launchers, rounds)
    section = report.markdown_section(
        results, SUBJECT, PEER, _versions(launchers, arguments.llama_server), rounds
    )
    print(section)
    if arguments.json:
        arguments.json.write_text(json.dumps(report.as_json(results), indent=1) + "\n")
    if arguments.markdown:
        with arguments.markdown.open("a") as results_file:
            results_file.write("\n" + section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
