"""One table of ratios from what was measured on a GPU, and the machine that it was measured on."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.report import COLUMNS, machine, table
from benchmarks.targets import SUBJECT, OwnFigure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.gpu_workloads import Comparison, Measurement

    Figures = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]

_TITLES = ["workload", "program", "figure", "", "divided by", "", "ratio", "target", "met"]


def ratios(measurements: Sequence[Measurement], figures: Figures) -> str:
    """A Markdown table: for each workload and each form of llamad, its figures by its peers'.

    What one side has not measured is left out.
    """
    rows = [_TITLES]
    for one in measurements:
        by_program = figures.get(one.workload.name, {})
        for program in (name for name in by_program if name.startswith(SUBJECT)):
            for comparison in one.comparisons:
                row = _row(one.workload.name, program, comparison, figures)
                if row:
                    rows.append(row)
    return table(rows, left=3) if len(rows) > 1 else "Nothing to compare was measured."


def figure(figures: Figures, workload: str, program: str, name: str) -> float | None:
    """The median over the rounds, if there are any."""
    values = [run[name] for run in figures.get(workload, {}).get(program, []) if name in run]
    return median(values) if values else None


def _row(workload: str, program: str, comparison: Comparison, figures: Figures) -> list[str] | None:
    name, target = comparison.figure, comparison.target
    own = target.reference if target is not None and isinstance(target.reference, OwnFigure) else None
    value = figure(figures, workload, program, name)
    if own is not None:
        reference = figure(figures, own.workload, program, own.figure)
        by = f"its {COLUMNS[own.figure].title} without"
    else:
        reference = figure(figures, workload, comparison.peer, name)
        by = comparison.peer
    if value is None or not reference:
        return None
    quotient = value / reference
    written = [format(number, COLUMNS[name].spec) for number in (value, reference)]
    bound = met = ""
    if target is not None:
        bound = f"{'≥' if target.better == 'higher' else '≤'} {target.limit:.2f}"
        met = "yes" if target.holds(quotient) else "**no**"
    return [workload, program, COLUMNS[name].title, written[0], by, written[1], f"{quotient:.2f}", bound, met]


def gpus() -> list[str]:
    """Name, memory and driver of each GPU; empty where there is no driver."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, check=True, stdout=subprocess.PIPE, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def facts() -> dict[str, object]:
    """Date and machine."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    return {"date": today, "machine": machine(), "cpus": len(os.sched_getaffinity(0)), "gpus": gpus()}
