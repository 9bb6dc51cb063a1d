"""From traces to figures, and from figures to a table with ratios."""

from __future__ import annotations

import datetime as dt
import math
import os
import platform
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.client import Trace

Rounds = dict[str, "list[Figures]"]
"""Server name -> its figures, one per round."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of one workload on one server.

    Attributes:
        tokens_per_s: completion tokens (from `usage`) of all streams by wall time.
        ttft_p50_ms: time to first text, median over the requests; and its 95th percentile.
        ttft_p95_ms: see above.
        itl_p50_ms: pause between one read and the next of a stream, median over all pauses.
        itl_p99_ms: the same, 99th percentile.
        longest_gap_ms: the longest such pause.
        tokens_per_read: completion tokens by reads; above 1 where the server joined tokens or the
            client lagged, and then ITL is per read, not per token.
        cpu_us_per_token: user and system time of the server by completion tokens.
        peak_memory_mib: largest resident size of the server's process.
        completion_tokens: of the whole run.
        cached_tokens: prompt tokens that came from a cache.
        wall_s: from the first request to the end of the last stream.
    """

    tokens_per_s: float
    ttft_p50_ms: float
    ttft_p95_ms: float
    itl_p50_ms: float
    itl_p99_ms: float
    longest_gap_ms: float
    tokens_per_read: float
    cpu_us_per_token: float
    peak_memory_mib: float
    completion_tokens: float
    cached_tokens: float
    wall_s: float


def figures(traces: Sequence[Trace], wall_s: float, cpu_s: float, peak_memory_mib: float) -> Figures:
    """Reduce a run to its figures."""
    tokens = sum(trace.completion_tokens for trace in traces)
    ttft = sorted(1e3 * trace.ttft for trace in traces)
    gaps = sorted(1e3 * gap for trace in traces for gap in trace.gaps)
    return Figures(
        tokens_per_s=tokens / wall_s,
        ttft_p50_ms=percentile(ttft, 50),
        ttft_p95_ms=percentile(ttft, 95),
        itl_p50_ms=percentile(gaps, 50),
        itl_p99_ms=percentile(gaps, 99),
        longest_gap_ms=gaps[-1] if gaps else 0.0,
        tokens_per_read=tokens / sum(len(trace.arrivals) for trace in traces),
        cpu_us_per_token=1e6 * cpu_s / tokens,
        peak_memory_mib=peak_memory_mib,
        completion_tokens=tokens,
        cached_tokens=sum(trace.cached_tokens for trace in traces),
        wall_s=wall_s,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of a sorted sequence; 0 where it is empty."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def medians(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure over the rounds."""
    return Figures(**{f.name: median(getattr(one, f.name) for one in rounds) for f in fields(Figures)})


_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("tok/s", "tokens_per_s", ",.0f"),
    ("TTFT p50 ms", "ttft_p50_ms", ",.1f"),
    ("p95", "ttft_p95_ms", ",.1f"),
    ("ITL p50 ms", "itl_p50_ms", ",.2f"),
    ("p99", "itl_p99_ms", ",.2f"),
    ("longest gap ms", "longest_gap_ms", ",.1f"),
    ("tokens/read", "tokens_per_read", ".2f"),
    ("CPU µs/token", "cpu_us_per_token", ",.0f"),
    ("peak MiB", "peak_memory_mib", ",.0f"),
)


def table(results: Mapping[str, Rounds], subject: str, peer: str) -> str:
    """A Markdown table: per workload one line for each server and one with the ratios subject / peer."""
    rows = [["workload", "server", *(title for title, _, _ in _COLUMNS)]]
    for workload, rounds in results.items():
        by_server = {server: medians(runs) for server, runs in rounds.items()}
        for index, (server, one) in enumerate(by_server.items()):
            cells = [format(getattr(one, name), spec) for _, name, spec in _COLUMNS]
            rows.append([workload if index == 0 else "", server, *cells])
        if subject in by_server and peer in by_server:
            rows.append(["", "**ratio**", *_ratios(by_server[subject], by_server[peer])])
    return _markdown(rows)


def _ratios(subject: Figures, peer: Figures) -> list[str]:
    pairs = [(getattr(subject, name), getattr(peer, name)) for _, name, _ in _COLUMNS]
    return [f"**{ours / theirs:.2f}**" if theirs else "-" for ours, theirs in pairs]


def _markdown(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if column < 2 else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(rows[0]), line(rule), *map(line, rows[1:])])


def machine() -> str:
    """CPU model, usable cores and memory, in words."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cpu = found[1].strip() if found else platform.machine()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory_gib:.0f} GiB, {platform.system()}"


_NOTES = """\
Each server is started anew for each workload and round, warmed up, and driven by the same streaming client
over HTTP on the same machine; figures are medians over the rounds, ratios are llamad / llama-server (above 1
is better for tok/s, below 1 for the rest). Tokens are counted by `usage.completion_tokens`. ITL and gaps are
pauses between reads of one stream: where a server joins tokens, "tokens/read" is above 1 and a pause
covers several. CPU is the server process alone; memory includes mapped model pages."""


def markdown_section(
    results: Mapping[str, Rounds], subject: str, peer: str, versions: Mapping[str, str], rounds: int
) -> str:
    """The section for RESULTS.md: date, machine, versions and the table."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    facts = [f"- Machine: {machine()}", f"- Rounds: {rounds}, servers in turn, order alternating"]
    facts += [f"- {name}: {version}" for name, version in versions.items()]
    return "\n".join([f"## {today}", "", *facts, "", table(results, subject, peer), "", _NOTES, ""])


def as_json(results: Mapping[str, Rounds]) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Every round's figures as plain data."""
    return {
        workload: {server: [asdict(one) for one in runs] for server, runs in rounds.items()}
        for workload, rounds in results.items()
    }
