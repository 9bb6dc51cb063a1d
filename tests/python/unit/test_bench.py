"""What `llamad bench` makes of its samples, and how it takes them."""

from __future__ import annotations

import time

import pytest
from llamad.cli.bench.advice import advise_slots, advise_threads
from llamad.cli.bench.figures import Figure, Row, Sample, percentile
from llamad.cli.bench.plan import thread_counts, work_for
from llamad.cli.bench.rounds import MOST_ROUNDS, in_rounds
from llamad.cli.bench.workload import OutOfTimeError, Workload

NEVER = float("inf")


def sample(streams: int, decode: float, *, prefill: float = 100.0, itl_s: float = 0.01) -> Sample:
    return Sample(streams, prefill, decode, ttft_s=[0.1] * streams, itl_s=[itl_s] * 10)


def row(streams: int, *decode: float, threads: int = 1, prefill: float = 100.0, itl_s: float = 0.01) -> Row:
    return Row.of([sample(streams, one, prefill=prefill, itl_s=itl_s) for one in decode], threads)


@pytest.mark.parametrize(
    ("percent", "value"), [(1, 1), (50, 2), (51, 3), (75, 3), (95, 4), (99, 4), (100, 4)]
)
def test_percentiles_are_values_that_occurred(percent: float, value: float) -> None:
    assert percentile([4, 2, 1, 3], percent) == value
    assert percentile([], percent) == 0


def test_one_disturbed_round_does_not_move_the_figures() -> None:
    figure = row(1, 100, 101, 7).decode_tok_s
    assert figure == Figure(median=100, least=7, most=101)
    assert figure.spread == pytest.approx(0.94)


def test_the_fewest_slots_with_nearly_the_best_throughput() -> None:
    rows = [row(1, 50), row(2, 90), row(4, 150), row(8, 196), row(16, 200), row(32, 190)]
    advice = advise_slots(rows, max_itl_s=1)
    assert (advice.setting, advice.value) == ("n_parallel", 8)
    assert "98% of what 16 give" in advice.reason


def test_slots_whose_tokens_come_too_slowly_do_not_count() -> None:
    rows = [row(1, 50, itl_s=0.02), row(2, 90, itl_s=0.05), row(4, 150, itl_s=0.3)]
    advice = advise_slots(rows, max_itl_s=0.2)
    assert advice.value == 2
    assert "4 exceed 200 ms" in advice.reason
    none = advise_slots(rows, max_itl_s=0.01)
    assert none.value == 1
    assert "already exceed 10 ms" in none.reason


def test_threads_are_advised_for_generation_and_for_prompts() -> None:
    rows = [
        row(1, 99, threads=8, prefill=1),
        row(8, 100, 101, threads=2, prefill=200),
        row(8, 102, 103, threads=4, prefill=400),
        row(8, 80, 81, threads=8, prefill=800),
    ]
    decode, prefill = advise_threads(rows)
    assert (decode.setting, decode.value) == ("threads", 2)
    assert (prefill.setting, prefill.value) == ("threads_batch", 8)
    assert "clearly" not in decode.reason


def test_threads_that_noise_does_not_tell_apart_are_said_to_be() -> None:
    rows = [row(8, 80, 100, 120, threads=1), row(8, 90, 98, 110, threads=2)]
    assert "do not clearly tell them apart" in advise_threads(rows)[0].reason


def test_rounds_go_there_and_back() -> None:
    taken: list[int] = []

    def measure(case: int, deadline: float) -> Sample:
        taken.append(case)
        return sample(case, 1)

    samples = in_rounds([1, 2, 3], measure, NEVER)
    assert taken[:9] == [1, 2, 3, 3, 2, 1, 1, 2, 3]
    assert {case: len(some) for case, some in samples.items()} == dict.fromkeys([1, 2, 3], MOST_ROUNDS)


def test_what_comes_too_late_has_no_samples() -> None:
    def measure(case: int, deadline: float) -> Sample:
        if case == 4:
            raise OutOfTimeError("late")
        return sample(case, 1)

    assert {case: len(some) for case, some in in_rounds([1, 2, 4], measure, NEVER).items()} == {1: 1, 2: 1}


def test_no_round_is_begun_that_would_end_too_late() -> None:
    def measure(case: int, deadline: float) -> Sample:
        time.sleep(0.01)
        return sample(case, 1)

    started = time.perf_counter()
    assert len(in_rounds([1], measure, started)[1]) == 1


def test_thread_counts() -> None:
    assert [thread_counts(n) for n in (1, 2, 3, 8, 64)] == [[1], [1, 2], [1, 3], [2, 4, 8], [16, 32, 64]]


@pytest.mark.parametrize(
    ("prefill", "decode", "expected"),
    [
        (1e6, 1e6, Workload(128, 32)),
        (100, 10, Workload(32, 8)),
        (0.1, 0.1, Workload(16, 4)),
    ],
)
def test_slow_models_get_shorter_prompts(prefill: float, decode: float, expected: Workload) -> None:
    trial = sample(1, decode, prefill=prefill)
    assert work_for(30, [1, 2, 4], trial, Workload(128, 32)) == expected
