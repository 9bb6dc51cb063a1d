"""Sizes and durations: what is understood, and what is not."""

from __future__ import annotations

import pytest
from llamad.errors import SettingsError
from llamad.settings.sources import load_settings

MIB, GIB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("123", 123),
        ("6GiB", 6 * GIB),
        ("6G", 6 * GIB),
        ("6 gib", 6 * GIB),
        ("6GB", 6_000_000_000),
        ("1.5M", 3 * MIB // 2),
        ("2TiB", 2048 * GIB),
        ("7b", 7),
        ("1k", 1024),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    assert load_settings({"memory_budget": text}, {}).memory_budget == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "6GX", "GiB", "1e3", "6 G B", "99999999999TiB", "nan"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(SettingsError, match=r"memory-budget = .*: expected a number of bytes, or a size"):
        load_settings({"memory_budget": text}, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("90", 90.0),
        ("2.5", 2.5),
        ("300ms", 0.3),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("2d", 172800.0),
        ("-1", -1.0),
        ("-5m", -1.0),
    ],
)
def test_durations(text: str, expected: float) -> None:
    assert load_settings({"keep_alive": text}, {}).keep_alive == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "x", "5 minutes", "m", "inf", "nan", "5m3", "--1"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(SettingsError, match=r"keep-alive = .*: expected a number of seconds, or a time"):
        load_settings({"keep_alive": text}, {})
