"""`Choices` fed by the test, and which completions a ranking returns."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from llamad import GenerationError, ParameterError, Result, SamplingParams, TokenLogprobs
from llamad.aio.stream import Signal, TokenStream
from llamad.choices import Choices, Ranking

from .test_stream import END, run

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED: Any = SimpleNamespace(**vars(END) | {"finish_reason": "error", "error_kind": "generation_failed"})
CANCELLED: Any = SimpleNamespace(**vars(END) | {"finish_reason": "cancelled"})


def choices_of(n: int, cancel: Callable[[int], object] = lambda _: None) -> tuple[Choices, list[TokenStream]]:
    signal = Signal()
    streams = [TokenStream(index, cancel, signal) for index in range(n)]  # type: ignore[arg-type]
    return Choices(streams), streams


def test_one_wake_up_brings_what_has_come_of_all() -> None:
    async def scenario() -> None:
        choices, (one, two, three) = choices_of(3)
        reading = asyncio.create_task(anext(choices))
        await asyncio.sleep(0)
        three.push("c", [3], None, None)
        one.push("a", [1], None, None)
        one.push("A", [1], None, None)
        assert await reading == [(0, "aA", None), (2, "c", None)]
        two.push("b", [2], None, END)
        ((index, text, result),) = await anext(choices)
        assert (index, text) == (1, "b")
        assert result is not None
        assert result.text == "b"
        for stream in (one, three):
            stream.push("", [], None, END)
        assert [step[0] for step in await anext(choices)] == [0, 2]
        with pytest.raises(StopAsyncIteration):
            await anext(choices)

    run(scenario())


def test_results_come_in_the_order_of_the_choices() -> None:
    async def scenario() -> None:
        choices, streams = choices_of(3)
        waiting = asyncio.create_task(choices.wait())
        for index in (2, 0, 1):
            await asyncio.sleep(0)
            streams[index].push(str(index), [index], None, END)
        assert [result.text for result in await waiting] == ["0", "1", "2"]

    run(scenario())


def test_what_came_before_a_failure_is_delivered_and_the_others_are_cancelled() -> None:
    async def scenario() -> None:
        cancelled: list[int] = []
        choices, (one, two) = choices_of(2, cancelled.append)
        two.push("last words", [1], None, FAILED)
        assert (1, "last words", None) in await anext(choices)
        assert cancelled == [0]
        one.push("too late", [1], None, CANCELLED)
        with pytest.raises(GenerationError):
            await anext(choices)

    run(scenario())


def test_cancelling_the_task_that_waits_cancels_all_that_are_not_over() -> None:
    async def scenario() -> None:
        cancelled: list[int] = []
        choices, streams = choices_of(3, cancelled.append)
        waiting = asyncio.create_task(choices.wait())
        streams[1].push("b", [1], None, END)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert cancelled == [0, 2]

    run(scenario())


def test_unread_text_counts_until_it_is_read() -> None:
    async def scenario() -> None:
        choices, (one, two) = choices_of(2)
        one.push("日本", [1], None, None)
        two.push("ab", [2], None, None)
        assert choices.unread_bytes == 8
        await anext(choices)
        assert choices.unread_bytes == 0

    run(scenario())


def result(*logprobs: float) -> Result:
    tokens = tuple(TokenLogprobs(index, value, ()) for index, value in enumerate(logprobs))
    empty: Any = None
    return Result("", list(range(len(logprobs))), "stop", None, empty, empty, tokens)


def test_the_best_are_those_with_the_highest_mean_logprob() -> None:
    short, long, sure, nothing = result(-1.0), result(-0.4, -0.4, -0.4), result(-0.1, -0.1), result()
    ranking = Ranking(2, 4)
    assert ranking.n_generated == 4
    assert ranking.chosen([short, nothing, long, sure]) == [sure, long]


def test_without_best_of_all_come_in_order() -> None:
    ranking = Ranking(2, None)
    results = [result(-2.0), result(-1.0)]
    assert ranking.n_generated == 2
    assert ranking.chosen(results) == results


def test_a_ranking_needs_logprobs_and_keeps_those_that_are_asked_for() -> None:
    assert Ranking(1, 2).params(SamplingParams()).logprobs == 0
    assert Ranking(1, 2).params(SamplingParams(logprobs=3)).logprobs == 3
    assert Ranking(2, None).params(SamplingParams()).logprobs is None


@pytest.mark.parametrize(
    ("n", "best_of", "param"),
    [(0, None, "n"), (129, None, "n"), (True, None, "n"), (2, 1, "best_of"), (1, 129, "best_of")],
)
def test_a_count_out_of_range_is_named(n: int, best_of: int | None, param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Ranking(n, best_of)
    assert caught.value.param == param


def test_cumulative_logprob_is_the_sum() -> None:
    assert result(-0.5, -0.25).cumulative_logprob == -0.75
    assert result().cumulative_logprob == 0
