"""From what clients saw to figures."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.client import Trace


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """One run of one workload on one server.

    Attributes:
        wall_s: from the first request to the end of the last stream.
        tokens_per_s: completion tokens (from `usage`) of all streams by wall time.
        decode_per_s: the same while all streams were generating: between the last one's first text and the
            first one's end; 0 where there is no such time.
        ttft_p50_ms: time to first text, median over the requests; and its 95th percentile.
        ttft_p95_ms: see above.
        itl_p50_ms: pause between one read and the next of a stream, median over all pauses.
        itl_p99_ms: the same, 99th percentile.
        longest_gap_ms: the longest such pause.
        neighbour_gap_ms: the longest of a stream whose own prompt is not one of the long ones.
        tokens_per_read: completion tokens by reads; above 1 where the server joined tokens or the
            client lagged, and then ITL is per read, not per token.
        prefilled_per_new: prompt tokens that were computed by those that were new to their
            conversation (`new_tokens`); below 1 where requests share a beginning.
        cpu_us_per_token: user and system time of the server by completion tokens.
        peak_memory_mib: largest resident size of the server's process.
        completion_tokens: of the whole run,
        prompt_tokens: likewise,
        cached_tokens: and how many of these came from a cache.
    """

    wall_s: float
    tokens_per_s: float
    decode_per_s: float
    ttft_p50_ms: float
    ttft_p95_ms: float
    itl_p50_ms: float
    itl_p99_ms: float
    longest_gap_ms: float
    neighbour_gap_ms: float
    tokens_per_read: float
    prefilled_per_new: float
    cpu_us_per_token: float
    peak_memory_mib: float
    completion_tokens: float
    prompt_tokens: float
    cached_tokens: float


@dataclass(frozen=True, slots=True)
class DecodeFigures:
    """One run of a batch of prompts without a server.

    Attributes:
        tokens_per_s: generated tokens by the time that all of them took.
        wall_s: that time.
    """

    tokens_per_s: float
    wall_s: float


Figures = ServerFigures | DecodeFigures


def server_figures(
    conversations: Sequence[Sequence[Trace]],
    is_long: Sequence[bool],
    *,
    wall_s: float,
    cpu_s: float,
    peak_memory_mib: float,
) -> ServerFigures:
    """Reduce a run to its figures.

    Args:
        conversations: the turns of each conversation, in order.
        is_long: of each conversation, whether its prompt is one of the long ones.
        wall_s: of the run, in seconds.
        cpu_s: what the server used in that time, in seconds.
        peak_memory_mib: of the server.
    """
    traces = [trace for turns in conversations for trace in turns]
    tokens = sum(trace.completion_tokens for trace in traces)
    prompt_tokens = sum(trace.prompt_tokens for trace in traces)
    cached_tokens = sum(trace.cached_tokens for trace in traces)
    ttft = sorted(1e3 * trace.ttft for trace in traces)
    gaps = _sorted_gaps_ms(conversations)
    neighbours = [turns for turns, long in zip(conversations, is_long, strict=True) if not long]
    return ServerFigures(
        wall_s=wall_s,
        tokens_per_s=tokens / wall_s,
        decode_per_s=decode_per_s(traces),
        ttft_p50_ms=percentile(ttft, 50),
        ttft_p95_ms=percentile(ttft, 95),
        itl_p50_ms=percentile(gaps, 50),
        itl_p99_ms=percentile(gaps, 99),
        longest_gap_ms=percentile(gaps, 100),
        neighbour_gap_ms=percentile(_sorted_gaps_ms(neighbours), 100),
        tokens_per_read=tokens / sum(len(trace.arrivals) for trace in traces),
        prefilled_per_new=(prompt_tokens - cached_tokens) / sum(map(new_tokens, conversations)),
        cpu_us_per_token=1e6 * cpu_s / tokens,
        peak_memory_mib=peak_memory_mib,
        completion_tokens=tokens,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
    )


def _sorted_gaps_ms(conversations: Sequence[Sequence[Trace]]) -> list[float]:
    return sorted(1e3 * gap for turns in conversations for trace in turns for gap in trace.gaps)


def decode_per_s(traces: Sequence[Trace]) -> float:
    """Tokens per second while all requests were generating, for requests that are sent at once.

    A stream's tokens are taken to be spread evenly over its reads.
    """
    begin = max(trace.arrivals[0] for trace in traces)
    end = min(trace.arrivals[-1] for trace in traces)
    if end <= begin:
        return 0.0
    tokens = sum(
        trace.completion_tokens * sum(begin < at <= end for at in trace.arrivals) / len(trace.arrivals)
        for trace in traces
    )
    return tokens / (end - begin)


def new_tokens(turns: Sequence[Trace]) -> int:
    """Prompt tokens of a conversation that none of its earlier turns had in its prompt or its answer.

    All of the first prompt's, then those that the next one has more than prompt and answer before it.
    Whoever computes no more than these has computed nothing twice.
    """
    new, held = 0, 0
    for turn in turns:
        new += max(0, turn.prompt_tokens - held)
        held = turn.prompt_tokens + turn.completion_tokens
    return new


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of a sorted sequence; 0 where it is empty."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def medians(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure over the rounds, which are of one kind."""
    kind = type(rounds[0])
    return kind(**{f.name: median(getattr(one, f.name) for one in rounds) for f in fields(kind)})
