"""Rounds over the cases of a comparison: what disturbs the machine for a while meets all of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from .workload import OutOfTimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from .figures import Sample

Case = TypeVar("Case", bound="Hashable")

MOST_ROUNDS = 9
"""More say nothing new."""


def in_rounds(
    cases: Sequence[Case], measure: Callable[[Case, float], Sample], deadline: float
) -> dict[Case, list[Sample]]:
    """Measure every case, round after round, there and back, until time or `MOST_ROUNDS` are over.

    A round that would not end in time is not begun, but for the first: of that, cases that come too late
    have no samples.

    Args:
        cases: in the order of the first round, cheap ones first.
        measure: called with a case and the deadline; raises `OutOfTimeError` when that has passed.
        deadline: a time of `time.perf_counter()`.
    """
    samples: dict[Case, list[Sample]] = {case: [] for case in cases}
    longest = 0.0
    for number in range(MOST_ROUNDS):
        started = time.perf_counter()
        if number > 0 and started + longest > deadline:
            break
        try:
            for case in cases if number % 2 == 0 else reversed(cases):
                samples[case].append(measure(case, deadline))
        except OutOfTimeError:
            break
        longest = max(longest, time.perf_counter() - started)
    return {case: taken for case, taken in samples.items() if taken}
