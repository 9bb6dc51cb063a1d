"""Which settings the figures speak for, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .figures import Figure, Row

Case = TypeVar("Case")

_ENOUGH = 0.95
"""Of the best throughput: more slots or threads than this takes are not worth what they take."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A value for a setting.

    Attributes:
        setting: its name.
        value: what to set.
        reason: why, for people.
    """

    setting: str
    value: int
    reason: str


def advise_slots(rows: Sequence[Row], max_itl_s: float) -> Advice:
    """Return the fewest slots with nearly the best throughput of those whose tokens come fast enough.

    Args:
        rows: by number of streams, at least one.
        max_itl_s: longest time between two tokens, as the median.
    """
    swift = [row for row in rows if row.itl_p50_s.median <= max_itl_s]
    limit = f"{1000 * max_itl_s:g} ms between two tokens"
    if not swift:
        fewest = min(rows, key=lambda row: row.streams)
        return Advice(
            "n_parallel",
            fewest.streams,
            f"{fewest.streams} at a time already exceed {limit} ({1000 * fewest.itl_p50_s.median:.0f} ms)",
        )
    best = max(swift, key=lambda row: row.decode_tok_s.median)
    chosen = _fewest(swift, lambda row: row.streams, lambda row: row.decode_tok_s.median)
    share = chosen.decode_tok_s.median / best.decode_tok_s.median
    of_best = "" if chosen is best else f", {share:.0%} of what {best.streams} give"
    slower = min((row.streams for row in rows if row.itl_p50_s.median > max_itl_s), default=None)
    bound = "" if slower is None else f"; {slower} exceed {limit}"
    return Advice(
        "n_parallel",
        chosen.streams,
        f"{chosen.decode_tok_s.median:.0f} tok/s{of_best}, {1000 * chosen.itl_p50_s.median:.0f} ms "
        f"between two tokens{bound}",
    )


def advise_threads(rows: Sequence[Row]) -> list[Advice]:
    """Return the fewest threads with nearly the best speed, for generation and for prompts.

    Args:
        rows: by number of threads; those with the most streams count.
    """
    most = max(row.streams for row in rows)
    speeds = {row.threads: (row.decode_tok_s, row.prefill_tok_s) for row in rows if row.streams == most}
    return [
        _threads("threads", "decode", {threads: decode for threads, (decode, _) in speeds.items()}),
        _threads("threads_batch", "prefill", {threads: prefill for threads, (_, prefill) in speeds.items()}),
    ]


def _threads(setting: str, what: str, speeds: Mapping[int, Figure]) -> Advice:
    chosen = _fewest(list(speeds), lambda threads: threads, lambda threads: speeds[threads].median)
    speed = speeds[chosen]
    others = {threads: other for threads, other in speeds.items() if threads != chosen}
    compared = ", ".join(f"{threads}: {other.median:.0f}" for threads, other in others.items())
    told_apart = not any(other.least <= speed.most and speed.least <= other.most for other in others.values())
    doubt = "" if told_apart else "; the rounds do not clearly tell them apart"
    return Advice(setting, chosen, f"{what} {speed.median:.0f} tok/s ({compared}){doubt}")


def _fewest(cases: Sequence[Case], count: Callable[[Case], int], speed: Callable[[Case], float]) -> Case:
    enough = _ENOUGH * max(map(speed, cases))
    return min((case for case in cases if speed(case) >= enough), key=count)
