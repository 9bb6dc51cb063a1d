"""When two servers' log-probabilities count as the same."""

from __future__ import annotations

import pytest

from benchmarks.logprobs import Position, agreement, while_same


def position(token: str, **logprobs: float) -> Position:
    return Position(token, logprobs)


def test_differences_are_those_of_the_tokens_that_both_tell_of() -> None:
    ours = position("a", a=-0.1, b=-3.0, c=-4.0)
    theirs = position("a", a=-0.102, b=-3.05, d=-4.0)
    found = agreement([(ours, theirs)])
    assert sorted(found.differences) == pytest.approx([0.002, 0.05])
    assert (found.clear, found.same_top) == (1, 1)


def test_the_token_that_stands_there_counts_though_it_is_unlikely() -> None:
    likely = {f"t{rank}": -1.0 - rank for rank in range(5)}
    found = agreement([(Position("z", likely | {"z": -9.0}), Position("z", likely | {"y": -8.0, "z": -9.5}))])
    assert max(found.differences) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("ours", "theirs", "holds"),
    [
        (position("a", a=-0.1, b=-3.0), position("a", a=-0.1, b=-3.004), True),
        (position("a", a=-0.1, b=-3.0), position("a", a=-0.1, b=-3.2), False),
        (position("a", a=-0.1, b=-3.0), position("a", a=-0.11, b=-3.01), False),
        # The likeliest tokens differ: no matter where the lead is small, else a disagreement.
        (position("a", a=-0.70, b=-0.704), position("a", a=-0.704, b=-0.70), True),
        (position("a", a=-0.70, b=-0.95), position("a", a=-0.95, b=-0.70), False),
    ],
)
def test_limits(ours: Position, theirs: Position, holds: bool) -> None:
    assert agreement([(ours, theirs)]).holds is holds


def test_texts_are_compared_until_they_part() -> None:
    ours = [position(token, x=-1.0) for token in "abcd"]
    theirs = [position(token, x=-1.0) for token in "abxd"]
    assert [pair[0].token for pair in while_same(ours, theirs)] == ["a", "b", "c"]
    assert len(while_same(ours, ours)) == 4
