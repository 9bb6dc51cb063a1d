"""What a benchmark found, as a table for people and as JSON for programs."""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ... import _engine
from ...described import described
from .plan import cores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .figures import Figure, Row
    from .measuring import Asked, Comparison, Findings

_NOISY = 0.25
"""A spread from which on small differences are not worth reading."""

_HOW = """Prompts of random tokens arrive together (prefill, TTFT: until each has its first token), then all
are continued together, greedily (decode; ITL: time between two deliveries of a stream). Warm; medians
of rounds that go there and back; spread: how far apart the rounds' decode figures lie."""

_COLUMNS = ("prefill tok/s", "decode tok/s", "TTFT p50", "p95 ms", "ITL p50", "p99 ms", "spread", "rounds")


def as_text(path: Path, asked: Asked, found: Findings, left_out: Sequence[int]) -> str:
    """Return the tables and what they suggest."""
    model = found.model
    where = f"{', '.join(model.devices)}; {cores()} cores; llamad {importlib.metadata.version('llamad')}"
    parts = [f"{path.name}: {described(model)}, {model.size_bytes / 2**20:.0f} MiB on {where}"]
    if found.threads is not None:
        parts.append(_table("varied: threads", found.threads))
    parts.append(_table(f"varied: requests at once, with {_threads_of(found)}", found.streams))
    measured = {row.streams for row in found.streams.rows}
    late = [n for n in asked.streams if n not in measured]
    notes = [_HOW]
    if left_out:
        notes.append(
            f"left out, for memory: {_listed(left_out)} requests at once, with the context that is set"
        )
    if late:
        notes.append(f"left out, for time: {_listed(late)} requests at once; --seconds gives more")
    if len(asked.threads) > 1 and found.threads is None:
        notes.append("left out, for time or memory: numbers of threads")
    if any(row.n_samples == 1 for row in found.streams.rows):
        notes.append("there was time for one round only, so nothing tells how far these can be trusted")
    if max(_spreads(found)) > _NOISY:
        notes.append(
            "the rounds lie far apart, as on a busy machine: differences smaller than the spread say nothing"
        )
    suggestion = [f"  {_flag(one.setting)} {one.value}   {one.reason}" for one in found.advice]
    return "\n\n".join([*parts, "\n".join(notes), "\n".join(["suggestion:", *suggestion])])


def as_record(path: Path, asked: Asked, found: Findings, left_out: Sequence[int]) -> dict[str, Any]:
    """Return the same as JSON has it; times in seconds."""
    model = found.model
    return {
        "model": {
            "file": path.name,
            "description": model.description,
            "quantization": model.quantization,
            "size_bytes": model.size_bytes,
            "n_params": model.n_params,
            "devices": list(model.devices),
        },
        "llamad": importlib.metadata.version("llamad"),
        "llama_cpp": _engine.llama_cpp_commit,
        "cores": cores(),
        "seconds": asked.seconds,
        "max_itl_s": asked.max_itl_s,
        "threads": None if found.threads is None else _comparison(found.threads),
        "streams": _comparison(found.streams),
        "left_out_for_memory": list(left_out),
        "suggestion": {one.setting: {"value": one.value, "reason": one.reason} for one in found.advice},
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {"workload": asdict(comparison.work), "rows": [asdict(row) for row in comparison.rows]}


def _table(title: str, comparison: Comparison) -> str:
    work = comparison.work
    head = ("threads", "streams", *_COLUMNS)
    lines = [[f"{row.threads}", f"{row.streams}", *_cells(row)] for row in comparison.rows]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    table = [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in (head, *lines)
    ]
    return "\n".join([f"{title}; {work.prompt_tokens} tokens in, {work.new_tokens} out", *table])


def _cells(row: Row) -> list[str]:
    return [
        _rate(row.prefill_tok_s),
        _rate(row.decode_tok_s),
        _ms(row.ttft_p50_s),
        _ms(row.ttft_p95_s),
        _ms(row.itl_p50_s),
        _ms(row.itl_p99_s),
        f"{row.decode_tok_s.spread:.0%}" if row.n_samples > 1 else "-",
        f"{row.n_samples}",
    ]


def _rate(figure: Figure) -> str:
    return f"{figure.median:.1f}"


def _ms(figure: Figure) -> str:
    return f"{1000 * figure.median:.1f}"


def _spreads(found: Findings) -> list[float]:
    comparisons = [found.streams] if found.threads is None else [found.threads, found.streams]
    return [row.decode_tok_s.spread for comparison in comparisons for row in comparison.rows]


def _threads_of(found: Findings) -> str:
    advised = {one.setting: one.value for one in found.advice}
    n_threads = found.streams.rows[0].threads
    n_prefill = advised.get("threads_batch", n_threads)
    return ("1 thread" if n_threads == 1 else f"{n_threads} threads") + (
        "" if n_prefill == n_threads else f" ({n_prefill} for prompts)"
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _flag(setting: str) -> str:
    return "--" + setting.replace("_", "-")
