"""What is computed for scores and perplexities: windows, their order, and the way back; no model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from llamad import ParameterError, Result, Score, TokenLogprobs
from llamad.results import Timings, Usage
from llamad.scoring.plan import Plan, perplexity_of
from llamad.scoring.windows import Window, checked, fitted, sliding

if TYPE_CHECKING:
    from collections.abc import Iterable


def asked(windows: Iterable[Window]) -> list[int]:
    return [token for window in windows for token in window.tokens[window.start :]]


def as_hugging_face_walks(n: int, window: int, stride: int) -> list[tuple[int, int, int]]:
    """Begin, end and number of predicted tokens of each window, by the loop of its documentation."""
    walked, previous = [], 0
    for begin in range(0, n, stride):
        end = min(begin + window, n)
        walked.append((begin, end, end - previous))
        previous = end
        if end == n:
            break
    begin, end, n_asked = walked[0]
    return [(begin, end, n_asked - 1), *walked[1:]]  # the first token of all is predicted by none


@pytest.mark.parametrize("n", [2, 3, 7, 8, 9, 40, 41, 43])
@pytest.mark.parametrize(("window", "stride"), [(2, 1), (8, 1), (8, 4), (8, 7), (50, 25)])
def test_windows_slide_as_in_hugging_faces_documentation(n: int, window: int, stride: int) -> None:
    tokens = list(range(n))
    windows = list(sliding(tokens, 1, window, stride))
    found = [(part.tokens[0], part.tokens[-1] + 1, len(part.tokens) - part.start) for part in windows]
    assert found == as_hugging_face_walks(n, window, stride)
    assert asked(windows) == tokens[1:]


@pytest.mark.parametrize("start", [1, 5, 9, 10, 11, 25, 39])
def test_a_continuation_gets_all_the_context_that_fits(start: int) -> None:
    tokens = list(range(40))
    windows = list(fitted(tokens, start, 10))
    assert asked(windows) == tokens[start:]
    for window in windows:
        assert len(window.tokens) <= 10
        assert window.start >= min(5, start)  # half of a window, or all there is
    if 40 - start < 10:
        assert windows == [Window(tokens[-10:], start - 30)]


def test_what_fits_is_one_window() -> None:
    assert list(fitted([1, 2, 3], 2, 10)) == [Window([1, 2, 3], 2)]
    assert list(fitted(list(range(10)), 1, 10)) == [Window(list(range(10)), 1)]


def test_the_default_is_half_of_the_longest_window() -> None:
    assert checked(None, None, 100) == (100, 50)
    assert checked(2, None, 100) == (2, 1)
    assert checked(10, 9, 100) == (10, 9)


@pytest.mark.parametrize(
    ("window", "stride", "param"),
    [
        (1, None, "window"),
        (101, None, "window"),
        (10, 10, "stride"),
        (10, 0, "stride"),
        (True, None, "window"),
    ],
)
def test_windows_that_cannot_be(window: Any, stride: Any, param: str) -> None:
    with pytest.raises(ParameterError, match=param) as caught:
        checked(window, stride, 100)
    assert caught.value.param == param


def result_of(tokens: list[int], start: int) -> Result:
    """A result in which the logprob of a token is its negative tenth, and even tokens are the likeliest."""
    named = [TokenLogprobs(token, -token / 10, ((token & ~1, -0.0),)) for token in tokens[start:]]
    return Result(
        text="",
        token_ids=[],
        finish_reason="length",
        stop_string=None,
        usage=Usage(len(tokens), 0, 0),
        timings=Timings(0, 0, 0),
        prompt_logprobs=tuple(named),
    )


def test_texts_that_begin_alike_are_neighbours_and_find_their_way_back() -> None:
    texts = [[5, 6, 8], [1, 2, 3], [5, 6, 7], [1, 2, 4], [5, 6, 8]]
    plan = Plan([[Window(tokens, 2)] for tokens in texts], n_top=1)
    assert plan.prompts == sorted(texts)
    assert {(params.max_tokens, params.prompt_logprobs) for params in plan.params} == {(0, 1)}
    scores = plan.scores([result_of(tokens, 2) for tokens in plan.prompts])
    assert [score.token_ids for score in scores] == [(text[2],) for text in texts]
    assert [score.is_greedy for score in scores] == [True, False, False, True, True]


def test_the_windows_of_a_text_are_joined_in_its_order() -> None:
    windows = [Window([9, 8, 7], 1), Window([7, 6, 5], 1), Window([5, 4], 1)]
    plan = Plan([windows, [Window([1, 2], 1)]], n_top=1)
    starts = {tuple(window.tokens): window.start for window in windows}
    results = [result_of(tokens, starts.get(tuple(tokens), 1)) for tokens in plan.prompts]
    long, short = plan.scores(results)
    assert long.token_ids == (8, 7, 6, 5, 4)
    assert long.logprob == pytest.approx(-3.0)
    assert short.token_ids == (2,)


def test_no_texts_need_nothing() -> None:
    plan = Plan([], n_top=1)
    assert (plan.prompts, plan.params, plan.scores([])) == ([], [], [])


def test_the_arithmetic() -> None:
    score = Score(-3.0, is_greedy=False, token_ids=(1, 2), logprobs=(-1.0, -2.0))
    assert score.mean_logprob == -1.5
    assert score.perplexity == pytest.approx(math.exp(1.5))
    found = perplexity_of(result_of([10, 20, 30], 1).prompt_logprobs or ())
    assert found.value == pytest.approx(math.exp(2.5))
    assert found.nll == pytest.approx(5.0)
    assert found.n_tokens == 2
    hopeless = perplexity_of([TokenLogprobs(1, -800.0, ())])
    assert (hopeless.value, hopeless.nll) == (math.inf, 800.0)
