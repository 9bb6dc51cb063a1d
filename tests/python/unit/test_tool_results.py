"""What the model is told of what a tool's function has returned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.python.support.jobs import Count, Unit, called, chat


class Closed:
    def __str__(self) -> str:
        return "closed"


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        ({"a": [1, 2.5, True]}, '{"a":[1,2.5,true]}'),
        ({1: "one"}, '{"1":"one"}'),
        ({"a"}, '["a"]'),
        ([Count(n=2)], '[{"n":2}]'),
        (np.array([1.5, 2.0]), "[1.5,2.0]"),
        (Closed(), '"closed"'),
        (Unit.C, '"celsius"'),
    ],
)
def test_values_are_told_as_json(value: Any, content: str) -> None:
    def give() -> Any:
        """Give something."""
        return value

    following = chat(tools=[give], run_tools=True).follow_up(called(("give", "{}")))
    assert following is not None
    assert following.messages[-1]["content"] == content


def test_a_value_that_contains_itself_is_told_somehow() -> None:
    endless: list[Any] = []
    endless.append(endless)

    def give() -> Any:
        """Give something."""
        return endless

    following = chat(tools=[give], run_tools=True).follow_up(called(("give", "{}")))
    assert following is not None
    assert following.messages[-1]["content"] == "[[...]]"


@pytest.mark.parametrize("value", ["caf\ud800", {"name": "caf\ud800"}], ids=["a text", "within"])
def test_half_a_character_that_a_function_returns_is_replaced(value: Any) -> None:
    def find() -> Any:
        return value

    following = chat(tools=[find], run_tools=True).follow_up(called(("find", "{}")))
    assert following is not None
    assert "caf?" in following.messages[-1]["content"] or r"caf\ud800" in following.messages[-1]["content"]
    following.messages[-1]["content"].encode()
