"""What llamad should reach: bounds on ratios, each between two figures of the same run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.figures import Figures

Results = dict[str, "dict[str, list[Figures]]"]
"""Workload -> program -> its figures, one per round."""

SUBJECT = "llamad"


class OwnFigure(NamedTuple):
    """A figure of llamad's in another workload.

    Attributes:
        workload: its name.
        figure: name of the figure.
    """

    workload: str
    figure: str


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on one of llamad's figures, divided by a reference.

    Attributes:
        figure: name of the figure.
        limit: the bound on the quotient, compared with it at two decimals.
        better: whether the quotient should be at least or at most the bound.
        reference: "peer": the same figure of the other program; "nothing": the figure stands for
            itself; or a figure of llamad's in another workload.
    """

    figure: str
    limit: float
    better: Literal["lower", "higher"] = "lower"
    reference: Literal["peer", "nothing"] | OwnFigure = "peer"

    def holds(self, quotient: float) -> bool:
        """Whether a quotient is within the bound."""
        rounded = round(quotient, 2)
        return rounded >= self.limit if self.better == "higher" else rounded <= self.limit


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target beside what was measured.

    Attributes:
        workload: name of the workload.
        target: what should be reached.
        value: llamad's figure, the median over the rounds.
        reference: what it is divided by, the median over the rounds; 1 where that is nothing.
        reference_name: whose figure that is; "" where it is nothing.
        quotient: `value` by `reference`.
        lowest: the smallest quotient of a single round,
        highest: and the largest: how far the rounds agree.
        met: whether the target holds.
    """

    workload: str
    target: Target
    value: float
    reference: float
    reference_name: str
    quotient: float
    lowest: float
    highest: float
    met: bool


def verdicts(targets: Mapping[str, Iterable[Target]], results: Results) -> list[Verdict]:
    """Hold the results against the targets of each workload.

    Targets of which one side was not measured are left out.
    """
    return [
        verdict
        for workload, of_workload in targets.items()
        for target in of_workload
        if (verdict := _verdict(workload, target, results)) is not None
    ]


def peer_of(programs: Iterable[str]) -> str | None:
    """The program that llamad is compared with, if one was measured."""
    return next((name for name in programs if name != SUBJECT), None)


def _verdict(workload: str, target: Target, results: Results) -> Verdict | None:
    values = _series(results, workload, SUBJECT, target.figure)
    name, references = _reference(workload, target, results)
    if not values or not references:
        return None
    by_round = [_quotient(*pair) for pair in zip(values, references, strict=True)]
    value, reference = median(values), median(references)
    quotient = _quotient(value, reference)
    return Verdict(
        workload=workload,
        target=target,
        value=value,
        reference=reference,
        reference_name=name,
        quotient=quotient,
        lowest=min(by_round),
        highest=max(by_round),
        met=target.holds(quotient),
    )


def _reference(workload: str, target: Target, results: Results) -> tuple[str, Sequence[float]]:
    if isinstance(target.reference, OwnFigure):
        other = target.reference
        return other.workload, _series(results, other.workload, SUBJECT, other.figure)
    if target.reference == "nothing":
        return "", [1.0] * len(_series(results, workload, SUBJECT, target.figure))
    peer = peer_of(results.get(workload, {}))
    return (peer, _series(results, workload, peer, target.figure)) if peer else ("", [])


def _series(results: Results, workload: str, program: str, figure: str) -> list[float]:
    return [getattr(one, figure) for one in results.get(workload, {}).get(program, [])]


def _quotient(value: float, reference: float) -> float:
    return value / reference if reference else math.inf
