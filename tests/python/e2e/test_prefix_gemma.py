"""Reuse of prefixes on a real sliding-window model: TEST_GEMMA=1 fetches it into `.cache/`.

The prompts ask for a part of a story once more. Most layers need their window for that: if it lacks what
it should hold, other words come. With it, the model is sure of each token, so that it does not matter how
many tokens were computed at once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from llamad import Engine

from tests.python.conftest import ROOT
from tests.python.support import gemma

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from llamad import Result

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("TEST_GEMMA") != "1", reason="TEST_GEMMA=1 asks for it"),
]

N_TOKENS = 16
CLEAR_MARGIN = 1.0
"""Between the logprobs of the two likeliest tokens. Chunks of other sizes moved it by up to 0.5."""

TRADERS, WARES = (
    ("Amina", "Boris", "Chen", "Dolores", "Edda", "Farid", "Greta"),
    ("salt", "dates", "wool", "tea"),
)


def days(first: int, last: int) -> str:
    """Some 23 tokens a day."""
    return "".join(
        f"On day {day} the caravan reached well number {day * 37 % 101}, where {TRADERS[day % 7]} traded "
        f"{day * 13 % 29} sacks of {WARES[day % 4]}. "
        for day in range(first, last + 1)
    )


def once_more(day: int) -> str:
    return f"To repeat: {days(day - 2, day - 1)}On day {day} the caravan"


STORY = days(1, 40) + once_more(38)
LONGER_STORY = days(1, 65) + once_more(38)
SHARED = days(1, 40)
SOMETHING_ELSE = "Something else altogether. " * 20


@pytest.fixture(scope="module")
def model() -> Path:
    return gemma.pull(ROOT / ".cache")


def load(model: Path, **options: Any) -> Engine:
    defaults: dict[str, Any] = {"n_parallel": 1, "n_ctx": 2048, "prefix_cache_mib": 256, "flash_attn": "off"}
    return Engine(model, **(defaults | options))


def ask(engine: Engine, prompt: str, **sampling: Any) -> Result:
    result: Result = engine.generate(prompt, max_tokens=N_TOKENS, temperature=0, **sampling)
    return result


@pytest.fixture(scope="module")
def expected(model: Path) -> Callable[[str], str]:
    """What an engine says that has computed nothing before."""
    answers: dict[str, str] = {}

    def answer(prompt: str) -> str:
        if prompt not in answers:
            with load(model, prefix_cache_mib=0) as engine:
                result = ask(engine, prompt, logprobs=2)
            assert result.logprobs is not None
            assert min(token.top[0][1] - token.top[1][1] for token in result.logprobs) > CLEAR_MARGIN
            answers[prompt] = result.text
        return answers[prompt]

    return answer


@pytest.mark.parametrize("swa_full", [True, False])
def test_a_beginning_in_common(model: Path, expected: Callable[[str], str], swa_full: bool) -> None:
    with load(model, swa_full=swa_full) as engine:
        n_shared = len(engine.tokenize(SHARED))
        assert len(engine.tokenize(LONGER_STORY)) > n_shared + gemma.WINDOW > 2 * gemma.WINDOW
        ask(engine, LONGER_STORY)
        result = ask(engine, STORY)
    assert result.text == expected(STORY)
    assert result.usage.cached_tokens >= n_shared - 1 if swa_full else result.usage.cached_tokens == 0


@pytest.mark.parametrize("swa_full", [True, False])
def test_a_conversation_that_comes_back(model: Path, expected: Callable[[str], str], swa_full: bool) -> None:
    with load(model, swa_full=swa_full) as engine:
        first = ask(engine, STORY)
        assert first.text == expected(STORY)
        ask(engine, SOMETHING_ELSE)  # takes the slot
        goes_on = STORY + first.text + ". " + once_more(30)
        again = ask(engine, goes_on)
        assert again.text == expected(goes_on)
        assert engine.stats()["restored_tokens"] == again.usage.cached_tokens == first.usage.total_tokens - 1


@pytest.mark.parametrize("swa_full", [True, False])
def test_a_story_that_comes_back_shorter(model: Path, expected: Callable[[str], str], swa_full: bool) -> None:
    with load(model, swa_full=swa_full) as engine:
        ask(engine, LONGER_STORY)
        ask(engine, SOMETHING_ELSE)  # takes the slot
        assert ask(engine, STORY).text == expected(STORY)


def test_a_beginning_in_common_with_a_busy_slot(model: Path, expected: Callable[[str], str]) -> None:
    with load(model, n_parallel=2) as engine:
        other = engine.submit(LONGER_STORY, max_tokens=400, temperature=0)
        deltas = iter(other)
        next(deltas)  # its prompt is computed
        result = ask(engine, STORY)
        other.cancel()
        assert len(list(deltas)) > 0  # until its end
    assert result.text == expected(STORY)
