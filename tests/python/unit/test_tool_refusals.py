"""Python functions that cannot be tools, and how they are refused."""

# No `from __future__ import annotations`: also annotations that are no text must be understood.

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict

import pytest
from llamad import ParameterError
from llamad.jobs.function import Function
from pydantic import Field

from .test_tool_functions import Point, function_of, get_weather


class Node(TypedDict):
    children: list["Node"]


@dataclass
class Adrift:
    at: "Nowhere"  # type: ignore[name-defined]  # noqa: F821


class Complex(Enum):
    A = 1j


class Other(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (complex, "complex, which JSON Schema cannot say"),
        (bytes, "bytes, which JSON Schema cannot say"),
        (Other, "Other, which JSON Schema cannot say"),
        (Callable[[], int], "which JSON Schema cannot say"),
        (type[int], "which JSON Schema cannot say"),
        ([int], "which JSON Schema cannot say"),
        (dict[int, str], "has int for keys, where JSON has text alone"),
        (list[complex], "complex, which JSON Schema cannot say"),
        (Literal[b"a"], "allows b'a', which JSON does not have"),
        (Complex, "allows 1j, which JSON does not have"),
        (Node, "contains Node in itself"),
        (Adrift, "has an annotation that cannot be read: name 'Nowhere' is not defined"),
        (Annotated[int, Field(ge=1)], "is restricted by .*, which is not enforced: use a pydantic model"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(annotation: Any, reason: str) -> None:
    with pytest.raises(
        ParameterError, match=rf"tools\[0\]: the parameter 'value' of told\(\) .*{reason}"
    ) as caught:
        function_of(annotation)
    assert caught.value.param == "tools[0]"


def bare(city): ...


def several(*cities: str) -> None: ...


def any_of(**cities: str) -> None: ...


def by_place(city: str, /) -> None: ...


def lost(city: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


def unreadable(city: str) -> None: ...


def unknown(city: str) -> None: ...


# As text, which no linter would let stand.
unreadable.__annotations__["city"] = "no expression"
unknown.__annotations__["city"] = "functools.Nothing"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (unreadable, r"unreadable\(\) has an annotation that cannot be read: .*no expression"),
        (unknown, r"unknown\(\) has an annotation that cannot be read: .*'Nothing'"),
        (bare, r"the parameter 'city' of bare\(\) has no annotation"),
        (several, r"the parameter 'cities' of several\(\) cannot be passed by name"),
        (any_of, r"the parameter 'cities' of any_of\(\) cannot be passed by name"),
        (by_place, r"the parameter 'city' of by_place\(\) cannot be passed by name"),
        (lost, r"lost\(\) has an annotation that cannot be read: name 'Nowhere' is not defined"),
        (Point, "Point.* is no function"),
        (functools.partial(get_weather, city="Rome"), "is no function"),
        (min, r"min\(\).* (has no signature that could be read|cannot be passed by name)"),
    ],
)
def test_functions_that_cannot_be_described_are_refused(call: Any, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        Function.of(call, "tools[3]")
