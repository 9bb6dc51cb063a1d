"""Sets of code points: sorted, disjoint, inclusive ranges. Surrogates belong to none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

CharSet: TypeAlias = tuple[tuple[int, int], ...]

ALL: CharSet = ((0, 0xD7FF), (0xE000, 0x10FFFF))
"""Every Unicode scalar value."""

NONE: CharSet = ()


def chars(text: str) -> CharSet:
    """The set of the characters of a text."""
    return union([((ord(char), ord(char)),) for char in text])


def span(first: str, last: str) -> CharSet:
    """The set from one character to another, both included."""
    return intersection(((ord(first), ord(last)),), ALL)


def union(sets: Iterable[CharSet]) -> CharSet:
    """What is in any of the sets."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(span for charset in sets for span in charset):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(charset: CharSet) -> CharSet:
    """What is not in the set."""
    gaps: list[tuple[int, int]] = []
    start = 0
    for low, high in charset:
        if start < low:
            gaps.append((start, low - 1))
        start = high + 1
    gaps.append((start, 0x10FFFF))
    return intersection(tuple(gap for gap in gaps if gap[0] <= gap[1]), ALL)


def intersection(left: CharSet, right: CharSet) -> CharSet:
    """What is in both sets."""
    common: list[tuple[int, int]] = []
    i = j = 0
    while i < len(left) and j < len(right):
        low, high = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if low <= high:
            common.append((low, high))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(common)


def difference(left: CharSet, right: CharSet) -> CharSet:
    """What is in the left set alone."""
    return intersection(left, complement(right))


def contains(charset: CharSet, code: int) -> bool:
    """Whether a code point is in the set."""
    return any(low <= code <= high for low, high in charset)


def members(charset: CharSet) -> list[int]:
    """Every code point of a small set."""
    return [code for low, high in charset for code in range(low, high + 1)]
