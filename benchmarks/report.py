"""From figures to tables with ratios, and to plain data."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from benchmarks.figures import DecodeFigures, Figures, ServerFigures, medians
from benchmarks.targets import SUBJECT, OwnFigure, Results, Target, Verdict, peer_of, verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Measured(Protocol):
    """A workload of any kind: its row title, and what llamad should reach in it."""

    @property
    def name(self) -> str: ...
    @property
    def targets(self) -> tuple[Target, ...]: ...


class _Column(NamedTuple):
    title: str
    spec: str


COLUMNS: dict[str, _Column] = {
    "wall_s": _Column("wall s", ",.1f"),
    "tokens_per_s": _Column("tok/s", ",.0f"),
    "decode_per_s": _Column("decode tok/s", ",.0f"),
    "ttft_p50_ms": _Column("TTFT p50 ms", ",.1f"),
    "ttft_p95_ms": _Column("TTFT p95 ms", ",.1f"),
    "itl_p50_ms": _Column("ITL p50 ms", ",.2f"),
    "itl_p99_ms": _Column("ITL p99 ms", ",.2f"),
    "longest_gap_ms": _Column("longest gap ms", ",.1f"),
    "neighbour_gap_ms": _Column("neighbour gap ms", ",.1f"),
    "tokens_per_read": _Column("tokens/read", ".2f"),
    "prefilled_per_new": _Column("prefilled/new", ".2f"),
    "cpu_us_per_token": _Column("CPU µs/token", ",.0f"),
    "peak_memory_mib": _Column("peak MiB", ",.0f"),
}
"""How each figure is titled and written."""

_SERVER_FIGURES = tuple(name for name in COLUMNS if name not in {"neighbour_gap_ms", "decode_per_s"})
_DECODE_FIGURES = ("wall_s", "tokens_per_s")

SERVED_NOTES = """\
Each server is started anew for each workload and round, warmed up with other prompts, and driven by the same
streaming client over HTTP on the same machine; figures are medians over the rounds, ratios are llamad by its
peer (above 1 is better for tok/s, below 1 for the rest). Tokens are counted by `usage.completion_tokens`. ITL
and gaps are pauses between reads of one stream: where a server joins tokens, "tokens/read" is above 1 and a
pause covers several. "Neighbour gap" is the longest pause of a stream whose own prompt is short.
"Prefilled/new" is the prompt tokens that were computed by those that no earlier turn of the same conversation
had. CPU is the server process alone; memory includes mapped model pages. Without a server, `Engine.generate`
of one-token prompts is timed as a whole, and of llama-batched-bench the generation of as many tokens, which
it neither samples nor delivers."""


class Report:
    """What a comparison has found so far."""

    def __init__(self, versions: Mapping[str, str], *, quick: bool, notes: str = SERVED_NOTES) -> None:
        """Begin a report.

        Args:
            versions: of each program, in words.
            quick: few tokens are generated, only to see that everything works.
            notes: how the figures came about, and what they mean.
        """
        self._versions = versions
        self._quick = quick
        self._notes = notes
        self._results: Results = {}
        self._targets: dict[str, tuple[Target, ...]] = {}

    def add(self, workload: Measured, figures: dict[str, list[Figures]]) -> None:
        """Add a workload with every program's figures, one per round."""
        self._results[workload.name] = figures
        self._targets[workload.name] = workload.targets

    def markdown(self) -> str:
        """The section for RESULTS.md: date, machine, versions and tables."""
        smoke_test = ", a smoke test: the figures mean nothing" if self._quick else ""
        facts = [
            f"- Machine: {machine()}",
            f"- Rounds: {self._rounds()}, programs in turn, order alternating",
            *(f"- {name}: {version}" for name, version in self._versions.items()),
        ]
        parts = [f"## {_today()}{smoke_test}", "\n".join(facts)]
        parts += _titled("Servers", figures_table(self._results, ServerFigures, _SERVER_FIGURES))
        parts += _titled("Without a server", figures_table(self._results, DecodeFigures, _DECODE_FIGURES))
        parts += _titled("Targets", targets_table(verdicts(self._targets, self._results)))
        return "\n\n".join([*parts, self._notes]) + "\n"

    def as_json(self) -> dict[str, Any]:
        """The same as plain data: every round's figures, and the targets."""
        return {
            "date": _today(),
            "machine": machine(),
            "quick": self._quick,
            "rounds": self._rounds(),
            "versions": dict(self._versions),
            "figures": {
                workload: {program: [asdict(one) for one in runs] for program, runs in by_program.items()}
                for workload, by_program in self._results.items()
            },
            "targets": [asdict(verdict) for verdict in verdicts(self._targets, self._results)],
        }

    def _rounds(self) -> int:
        return max((len(r) for by_program in self._results.values() for r in by_program.values()), default=0)


def figures_table(results: Results, kind: type[Figures], figures: Sequence[str]) -> str:
    """A Markdown table: per workload a line for each program, and one with the ratios llamad by peer.

    Args:
        results: of all workloads.
        kind: only workloads with figures of this kind are in the table; "" if there are none.
        figures: names of the columns.
    """
    rows = [["workload", "program", *(COLUMNS[name].title for name in figures)]]
    for workload, by_program in results.items():
        if not all(isinstance(one, kind) for runs in by_program.values() for one in runs):
            continue
        of_program = {program: medians(runs) for program, runs in by_program.items()}
        for index, (program, one) in enumerate(of_program.items()):
            cells = [_written(name, getattr(one, name)) for name in figures]
            rows.append([workload if index == 0 else "", program, *cells])
        peer = peer_of(of_program)
        if peer and SUBJECT in of_program:
            rows.append(["", "**ratio**", *_ratios(of_program[SUBJECT], of_program[peer], figures)])
    return table(rows, left=2) if len(rows) > 1 else ""


def targets_table(verdicts: Sequence[Verdict]) -> str:
    """A Markdown table with a line for each target; "" if there are none."""
    rows = [["workload", "figure", "llamad", "divided by", "quotient", "in single rounds", "target", "met"]]
    for one in verdicts:
        sign = "≥" if one.target.better == "higher" else "≤"
        rows.append(
            [
                one.workload,
                COLUMNS[one.target.figure].title,
                _written(one.target.figure, one.value),
                _reference(one),
                f"{one.quotient:.2f}",
                f"{one.lowest:.2f} to {one.highest:.2f}",
                f"{sign} {one.target.limit:.2f}",
                "yes" if one.met else "**no**",
            ]
        )
    return table(rows, left=2) if len(rows) > 1 else ""


def progress(figures: Figures) -> str:
    """One run in a line."""
    names = _DECODE_FIGURES if isinstance(figures, DecodeFigures) else tuple(COLUMNS)
    return ", ".join(f"{COLUMNS[name].title} {_written(name, getattr(figures, name))}" for name in names)


def machine() -> str:
    """CPU model, usable cores and memory, in words."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cpu = found[1].strip() if found else platform.machine()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory_gib:.0f} GiB, {platform.system()}"


def _today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()


def _titled(title: str, table: str) -> list[str]:
    return [f"### {title}", table] if table else []


def _written(figure: str, value: float) -> str:
    return format(value, COLUMNS[figure].spec)


def _ratios(subject: Figures, peer: Figures, figures: Sequence[str]) -> list[str]:
    pairs = [(getattr(subject, name), getattr(peer, name)) for name in figures]
    return [f"**{ours / theirs:.2f}**" if theirs else "-" for ours, theirs in pairs]


def _reference(verdict: Verdict) -> str:
    reference = verdict.target.reference
    if reference == "nothing":
        return ""
    if isinstance(reference, OwnFigure):
        value = _written(reference.figure, verdict.reference)
        return f"{COLUMNS[reference.figure].title} of {reference.workload}: {value}"
    return f"{verdict.reference_name}: {_written(verdict.target.figure, verdict.reference)}"


def table(rows: Sequence[Sequence[str]], left: int) -> str:
    """Rows, the first of them titles, with so many columns aligned to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if column < left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(rows[0]), line(rule), *map(line, rows[1:])])
