"""The arithmetic of the comparison: percentiles, pauses, and which prompt tokens were new."""

from __future__ import annotations

import pytest

from benchmarks.client import Trace
from benchmarks.figures import DecodeFigures, ServerFigures, medians, new_tokens, percentile, server_figures


def turn(prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> Trace:
    """A request whose times do not matter."""
    return Trace(0.0, [1.0, 2.0], prompt_tokens, completion_tokens, cached_tokens)


def figures_of(
    conversations: list[list[Trace]], is_long: list[bool] | None = None, wall_s: float = 2.0
) -> ServerFigures:
    return server_figures(
        conversations,
        is_long if is_long is not None else [False] * len(conversations),
        wall_s=wall_s,
        cpu_s=0.5,
        peak_memory_mib=100.0,
    )


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (50, 5.0), (51, 6.0), (90, 9.0), (95, 10.0), (99, 10.0), (100, 10.0)]
)
def test_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], percent) == expected


def test_percentile_of_nothing_is_zero() -> None:
    assert percentile([], 50) == 0.0


def test_times_are_taken_from_the_client() -> None:
    slow = Trace(sent=1.0, arrivals=[1.5, 1.6, 2.0], prompt_tokens=10, completion_tokens=6)
    fast = Trace(sent=1.0, arrivals=[1.1, 1.15], prompt_tokens=10, completion_tokens=2)
    one = figures_of([[slow], [fast]])
    assert (one.ttft_p50_ms, one.ttft_p95_ms) == pytest.approx((100.0, 500.0))
    assert (one.itl_p50_ms, one.itl_p99_ms, one.longest_gap_ms) == pytest.approx((100.0, 400.0, 400.0))
    assert one.tokens_per_s == 4.0
    assert one.tokens_per_read == 8 / 5
    assert one.cpu_us_per_token == pytest.approx(0.5e6 / 8)


def test_no_pause_spans_two_turns() -> None:
    first = Trace(sent=0.0, arrivals=[1.0, 1.1], prompt_tokens=5, completion_tokens=2)
    second = Trace(sent=9.0, arrivals=[9.5, 9.8], prompt_tokens=9, completion_tokens=2)
    assert figures_of([[first, second]]).longest_gap_ms == pytest.approx(300.0)


def test_neighbours_are_the_streams_with_short_prompts() -> None:
    long = Trace(sent=0.0, arrivals=[1.0, 4.0], prompt_tokens=1500, completion_tokens=2)
    short = Trace(sent=0.0, arrivals=[1.0, 1.5], prompt_tokens=40, completion_tokens=2)
    one = figures_of([[long], [short]], is_long=[True, False])
    assert one.longest_gap_ms == pytest.approx(3000.0)
    assert one.neighbour_gap_ms == pytest.approx(500.0)


def test_without_long_prompts_everybody_is_a_neighbour() -> None:
    one = figures_of([[turn(10, 2)], [turn(10, 2)]])
    assert one.neighbour_gap_ms == one.longest_gap_ms == pytest.approx(1000.0)


def test_the_whole_of_a_first_prompt_is_new() -> None:
    assert new_tokens([turn(80, 48)]) == 80


def test_later_turns_are_new_beyond_prompt_and_answer_before_them() -> None:
    assert new_tokens([turn(80, 48), turn(188, 48), turn(300, 48)]) == 80 + 60 + 64


def test_a_prompt_that_got_shorter_has_nothing_new() -> None:
    # An answer can take fewer tokens when it is read back than when it was generated.
    assert new_tokens([turn(80, 48), turn(120, 48)]) == 80


def test_prefilled_are_the_prompt_tokens_that_no_cache_held() -> None:
    all_again = [turn(80, 48), turn(188, 48)]
    only_new = [turn(80, 48), turn(188, 48, cached_tokens=127)]
    assert figures_of([all_again]).prefilled_per_new == pytest.approx((80 + 188) / 140)
    assert figures_of([only_new]).prefilled_per_new == pytest.approx(141 / 140)
    assert figures_of([all_again, only_new]).prefilled_per_new == pytest.approx((268 + 141) / 280)


def test_a_prefix_shared_between_conversations_counts_as_new_to_each() -> None:
    one = figures_of([[turn(100, 8)], [turn(100, 8, cached_tokens=90)]])
    assert one.prefilled_per_new == pytest.approx(110 / 200)


def test_medians_are_taken_figure_by_figure() -> None:
    rounds = [DecodeFigures(10.0, 1.0), DecodeFigures(30.0, 3.0), DecodeFigures(20.0, 9.0)]
    assert medians(rounds) == DecodeFigures(20.0, 3.0)
