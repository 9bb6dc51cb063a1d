"""Run the GPU workloads: each program in turn, one server for all workloads that it can serve."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from benchmarks import servers
from benchmarks.build_peers import BATCHED_BENCH, LLAMA_SERVER
from benchmarks.compare import measure_running
from benchmarks.decode_rate import batched_bench_results
from benchmarks.gpu_results import FAILURES
from benchmarks.gpu_workloads import PROMPT_TOKENS, PROMPT_WORDS, Measurement
from benchmarks.load import run_load
from benchmarks.targets import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.gpu_results import Deadline, Results
    from benchmarks.workloads import Workload

_ON_THE_GPU = {
    SUBJECT: ("--n-gpu-layers", "-1"),
    LLAMA_SERVER: ("--n-gpu-layers", "999", "--fit", "off"),
    BATCHED_BENCH: ("--n-gpu-layers", "999", "--fit", "off"),
}
"""Flags that put the whole model on the GPU, or fail."""
_WORKLOAD_TIMEOUT_S = 120.0
_BATCHED_BENCH_TIMEOUT_S = 240.0
_SHOWN_LOG = 2000
"""Characters of a server's log that are printed when a workload fails; the file may stay on the machine."""


@dataclass(frozen=True, slots=True)
class Program:
    """Something to measure.

    Attributes:
        name: in the table.
        kind: `SUBJECT`, `LLAMA_SERVER` or `BATCHED_BENCH`.
        flags: beside those of the workload.
    """

    name: str
    kind: str
    flags: tuple[str, ...] = ()

    def launch(self, model: Path, workload: Workload, peers: Path) -> servers.Launch:
        """How to start it, if it is a server.

        Args:
            model: file of the model.
            workload: what it shall serve.
            peers: directory of the peers' binaries.
        """
        flags = (*_ON_THE_GPU[self.kind], *self.flags)
        if self.kind == SUBJECT:
            return servers.llamad(model, workload, flags)
        return servers.llama_server(peers / self.kind, model, workload, flags)


def served_together(measurements: Sequence[Measurement]) -> Iterator[list[Measurement]]:
    """Those that follow each other and need the same server."""

    def server(one: Measurement) -> tuple[str, int, int]:
        return one.workload.model, one.workload.n_slots, one.workload.n_ctx

    for _, group in groupby(measurements, server):
        yield list(group)


@dataclass(frozen=True, slots=True)
class ModelRun:
    """One round of one model.

    Attributes:
        model: its file, alone in its directory.
        peers: directory of the peers' binaries.
        logs: where the servers' output goes.
        results: takes the figures, and what fails.
        deadline: of the whole run; every method raises `OutOfTime` when it comes.
        round: which one it is, from 0; each has prompts of its own.
    """

    model: Path
    peers: Path
    logs: Path
    results: Results
    deadline: Deadline
    round: int

    def measure(self, measurements: Sequence[Measurement], programs: Sequence[Program]) -> None:
        """Measure each once on each program, unless that has been done; one that fails ends no other."""
        for group in served_together(measurements):
            for program in programs:
                workloads = [one.workload for one in group if self._is_missing(one.workload, program)]
                if not workloads:
                    continue
                try:
                    if program.kind == BATCHED_BENCH:
                        self._batches(workloads, program)
                    else:
                        self._server(workloads, program)
                except FAILURES as error:
                    self._fail(workloads[0], program, error)

    def _fail(self, workload: Workload, program: Program, error: Exception) -> None:
        if isinstance(error, TimeoutError | subprocess.TimeoutExpired):
            self.deadline.bound(1.0)  # cut off by the end of the whole run, it has not failed
        self.results.fail(f"{workload.name} · {program.name}", error)

    def _is_missing(self, workload: Workload, program: Program) -> bool:
        """Whether no call has run this round of it yet."""
        return len(self.results.figures.get(workload.name, {}).get(program.name, ())) <= self.round

    def _server(self, workloads: Sequence[Workload], program: Program) -> None:
        first = workloads[0]
        self.deadline.bound(_WORKLOAD_TIMEOUT_S, at_least=20.0)
        log = self.logs / f"{self.model.stem}-{first.n_slots}-{program.name.replace(' ', '_')}.log"
        with servers.Server(program.launch(self.model, first, self.peers), log) as server:
            limit = self.deadline.bound(_WORKLOAD_TIMEOUT_S)
            run_load(server.port, first.warm_up(self.model.stem), first.n_slots, limit)
            for index, workload in enumerate(workloads):
                limit = self.deadline.bound(_WORKLOAD_TIMEOUT_S)
                # No two workloads of a server have prompts in common: none finds another's in the cache.
                seed = 1000 * self.round + index
                try:
                    figures = measure_running(server, self.model, workload, seed, limit)
                except FAILURES as error:
                    self._fail(workload, program, error)
                    print(log.read_text(errors="replace")[-_SHOWN_LOG:], file=sys.stderr, flush=True)
                    if isinstance(error, TimeoutError):
                        return  # it may hang, or still compute what it was asked for
                else:
                    self.results.add(workload.name, program.name, asdict(figures))

    def _batches(self, workloads: Sequence[Workload], program: Program) -> None:
        """The same batches without a server, all in one call: it samples nothing, so both ways are one."""
        decodes = [workload for workload in workloads if workload.prompt_words == PROMPT_WORDS]
        if not decodes:
            return
        streams, first = sorted({workload.streams for workload in decodes}), decodes[0]
        command = [str(self.peers / BATCHED_BENCH), "--model", str(self.model), "--no-kv-unified"]
        command += [*_ON_THE_GPU[program.kind], "-c", str(max(streams) * first.n_ctx)]
        command += ["-npp", str(PROMPT_TOKENS), "-ntg", str(first.max_tokens)]
        command += ["-npl", ",".join(map(str, streams))]
        command += ["-b", str(servers.N_BATCH), "-ub", str(servers.N_UBATCH)]
        command += ["--threads", str(servers.compute_threads(first)), "--output-format", "jsonl"]
        output = self.logs / f"{self.model.stem}-{program.name}.jsonl"
        log = output.with_suffix(".log")
        limit = self.deadline.bound(_BATCHED_BENCH_TIMEOUT_S)
        try:
            with output.open("wb") as results, log.open("wb") as errors:
                subprocess.run(
                    [*command, *program.flags], check=True, stdout=results, stderr=errors, timeout=limit
                )
        finally:  # what it has measured until it failed counts
            found = batched_bench_results(output.read_text(errors="replace"))
            rates = {int(one["pl"]): one["pl"] * one["tg"] / one["t_tg"] for one in found}
            for workload in decodes:
                if workload.streams in rates:
                    figures = {"decode_per_s": rates[workload.streams]}
                    self.results.add(workload.name, program.name, figures)
        if missing := [one for one in streams if one not in rates]:
            raise ValueError(f"no batch of {missing} was measured; the log is {log}")
