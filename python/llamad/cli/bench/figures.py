"""Samples, and what is said of several: medians, and how far they lie apart."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement.

    Attributes:
        streams: requests at once.
        prefill_tok_s: tokens of all prompts, over the time until each had its first token.
        decode_tok_s: the streams' tokens per second, added up.
        ttft_s: time to first token of each stream, when all prompts arrive together.
        itl_s: times between two deliveries of a stream, of all streams.
    """

    streams: int
    prefill_tok_s: float
    decode_tok_s: float
    ttft_s: Sequence[float]
    itl_s: Sequence[float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A median over rounds, and the least and the most that was measured."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the figure of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    @property
    def spread(self) -> float:
        """How far the extremes lie apart, relative to the median."""
        return (self.most - self.least) / self.median if self.median else 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """What several samples of the same kind say; percentiles are those of each sample.

    Attributes:
        n_samples: how many there are.
    """

    streams: int
    threads: int
    n_samples: int
    prefill_tok_s: Figure
    decode_tok_s: Figure
    ttft_p50_s: Figure
    ttft_p95_s: Figure
    itl_p50_s: Figure
    itl_p99_s: Figure

    @classmethod
    def of(cls, samples: Sequence[Sample], threads: int) -> Self:
        """Return the row of at least one sample, all with the same number of streams."""
        return cls(
            streams=samples[0].streams,
            threads=threads,
            n_samples=len(samples),
            prefill_tok_s=Figure.of([one.prefill_tok_s for one in samples]),
            decode_tok_s=Figure.of([one.decode_tok_s for one in samples]),
            ttft_p50_s=Figure.of([percentile(one.ttft_s, 50) for one in samples]),
            ttft_p95_s=Figure.of([percentile(one.ttft_s, 95) for one in samples]),
            itl_p50_s=Figure.of([percentile(one.itl_s, 50) for one in samples]),
            itl_p99_s=Figure.of([percentile(one.itl_s, 99) for one in samples]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON has it."""
        return asdict(self)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of 100 of the values do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else 0.0
