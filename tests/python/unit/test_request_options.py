"""`RequestOptions`: what is accepted, and what the error for the rest says."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from llamad import ParameterError, RequestOptions


def test_defaults_ask_for_nothing() -> None:
    options = RequestOptions()
    assert options.native == {"priority": 0, "client": "", "cache_salt": "", "timeout_s": 0.0}


def test_values_reach_the_engine() -> None:
    options = RequestOptions(priority=-5, client="me", cache_salt="s", timeout_s=2)
    assert options.native == {"priority": -5, "client": "me", "cache_salt": "s", "timeout_s": 2}


def test_it_is_frozen_and_hashable() -> None:
    options = RequestOptions(priority=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.priority = 2  # type: ignore[misc]
    assert len({options, RequestOptions(priority=1)}) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("priority", 2**31),
        ("priority", -(2**31) - 1),
        ("priority", 1.0),
        ("priority", True),
        ("priority", None),
        ("client", 5),
        ("client", "\ud800"),
        ("cache_salt", None),
        ("cache_salt", b"salt"),
        ("timeout_s", 0),
        ("timeout_s", -1.0),
        ("timeout_s", float("nan")),
        ("timeout_s", float("inf")),
        ("timeout_s", 1e7),
        ("timeout_s", True),
        ("timeout_s", "5"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        RequestOptions(**{name: value})
    assert caught.value.param == name
    assert str(caught.value).startswith(f"{name} must be ")
    assert str(caught.value).endswith(f"got {value!r}")
