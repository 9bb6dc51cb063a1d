"""Python functions as tools: what the model is told of them, and what they are called with."""

# No `from __future__ import annotations`: also annotations that are no text must be understood.

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict, Union

import pytest
from llamad import ParameterError
from llamad.jobs.function import Function
from llamad.structured import check_tool_schema, json_schema_grammar
from pydantic import BaseModel, Field, field_validator


class Unit(Enum):
    C = "celsius"
    F = "fahrenheit"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


@dataclass
class Point:
    """A place on a map.

    Attributes:
        x: to the east.
    """

    x: int
    y: float = 0.0
    tags: list[str] = field(default_factory=list)
    norm: float = field(init=False, default=0.0)


@dataclass
class Positive:
    value: int

    def __post_init__(self) -> None:
        if self.value <= 0:
            raise ValueError("must be above 0")


class Trip(TypedDict):
    city: str
    days: NotRequired[int]


class Street(BaseModel):
    name: str


class Address(BaseModel):
    street: Street
    number: int = 1

    @field_validator("number")
    @classmethod
    def _positive(cls, number: int) -> int:
        if number < 1:
            raise ValueError("no such house")
        return number


def function_of(annotation: Any, *default: Any) -> Function:
    def told(value: Any) -> None: ...

    told.__annotations__ = {"value": annotation, "return": None}
    told.__defaults__ = default or None
    return Function.of(told, "tools[0]")


def schema_of(annotation: Any, *default: Any) -> Any:
    return function_of(annotation, *default).tool["function"]["parameters"]["properties"]["value"]


def read(annotation: Any, value: Any) -> Any:
    return function_of(annotation).read({"value": value})["value"]


def get_weather(city: str, unit: Unit = Unit.C, *, days: Annotated[int, "how far ahead"] = 1) -> str:
    """Tell the weather
    of a city.

    It is always fine.

    Args:
        city: where it is wanted,
            with the country
        unit (Unit): of the temperature
    """
    return f"{city} {unit} {days}"


def test_a_function_is_described_by_what_it_says_of_itself() -> None:
    assert Function.of(get_weather, "tools[0]").tool == {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tell the weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "where it is wanted, with the country"},
                    "unit": {
                        "enum": ["celsius", "fahrenheit"],
                        "description": "of the temperature",
                        "default": "celsius",
                    },
                    "days": {"type": "integer", "description": "how far ahead", "default": 1},
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }


CLOSED = {"type": "object", "additionalProperties": False}
POINT = CLOSED | {
    "properties": {
        "x": {"type": "integer", "description": "to the east."},
        "y": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["x"],
}
TRIP = CLOSED | {
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}

KINDS: list[tuple[Any, dict[str, Any], Any, Any]] = [
    (str, {"type": "string"}, "a", "a"),
    (int, {"type": "integer"}, 3.0, 3),
    (float, {"type": "number"}, 3, 3.0),
    (bool, {"type": "boolean"}, True, True),
    (None, {"type": "null"}, None, None),
    (Any, {}, {"a": [1]}, {"a": [1]}),
    (Literal["a", 1, None], {"enum": ["a", 1, None]}, 1, 1),  # noqa: PYI061 - one enum, as it is written
    (Literal[1, True], {"enum": [1, True]}, True, True),
    (Unit, {"enum": ["celsius", "fahrenheit"]}, "fahrenheit", Unit.F),
    (Size, {"enum": [1, 2]}, 2, Size.LARGE),
    (Optional[int], {"type": ["integer", "null"]}, None, None),  # noqa: UP045 - the old way is a way, too
    (Union[int, str], {"type": ["integer", "string"]}, "a", "a"),  # noqa: UP007
    (int | None, {"type": ["integer", "null"]}, 3, 3),
    (Unit | None, {"anyOf": [{"enum": ["celsius", "fahrenheit"]}, {"type": "null"}]}, "celsius", Unit.C),
    (list[int], {"type": "array", "items": {"type": "integer"}}, [1, 2], [1, 2]),
    (list, {"type": "array", "items": {}}, [1, "a"], [1, "a"]),
    (Sequence[str], {"type": "array", "items": {"type": "string"}}, ["a"], ["a"]),
    (Iterable[str], {"type": "array", "items": {"type": "string"}}, ["a"], ["a"]),
    (set[str], {"type": "array", "items": {"type": "string"}}, ["a", "a"], {"a"}),
    (frozenset[int], {"type": "array", "items": {"type": "integer"}}, [1, 1], frozenset({1})),
    (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}, [1, 2, 3], (1, 2, 3)),
    (
        tuple[int, str],
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
        [1, "a"],
        (1, "a"),
    ),
    (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": 1}),
    (dict, {"type": "object", "additionalProperties": {}}, {"a": [1]}, {"a": [1]}),
    (
        Mapping[str, list[Unit]],
        {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"enum": ["celsius", "fahrenheit"]}},
        },
        {"a": ["celsius"]},
        {"a": [Unit.C]},
    ),
    (Trip, TRIP, {"city": "Rome"}, {"city": "Rome"}),
    (Point, POINT, {"x": 1, "tags": ["a"]}, Point(1, 0.0, ["a"])),
    (list[Point], {"type": "array", "items": POINT}, [{"x": 1}], [Point(1)]),
    (Annotated[int, "how many"], {"type": "integer", "description": "how many"}, 1, 1),
    (Annotated[int, Field(description="how many")], {"type": "integer", "description": "how many"}, 1, 1),
]


@pytest.mark.parametrize(
    ("annotation", "schema", "value", "expected"), KINDS, ids=lambda value: str(value)[:40]
)
def test_annotations_have_a_schema_and_a_way_back(
    annotation: Any, schema: dict[str, Any], value: Any, expected: Any
) -> None:
    assert schema_of(annotation) == schema
    got = read(annotation, value)
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize("annotation", [kind[0] for kind in KINDS] + [Address], ids=lambda one: str(one)[:40])
def test_every_schema_is_one(annotation: Any) -> None:
    parameters = function_of(annotation).tool["function"]["parameters"]
    json_schema_grammar(parameters, "parameters")
    if annotation is not Address:  # what pydantic leaves open, a strict tool has to close
        check_tool_schema(parameters, "parameters")


def test_a_pydantic_model_brings_its_definitions_and_checks() -> None:
    function = function_of(Address)
    parameters = function.tool["function"]["parameters"]
    assert parameters["properties"]["value"]["properties"]["street"] == {"$ref": "#/$defs/Street"}
    assert list(parameters["$defs"]) == ["Street"]
    assert function.read({"value": {"street": {"name": "Via"}}}) == {
        "value": Address(street=Street(name="Via"))
    }
    with pytest.raises(
        ValueError, match=r"^value: street: Field required; number: Value error, no such house$"
    ):
        function.read({"value": {"number": 0}})


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        (str, 1, "must be a string, not 1"),
        (int, True, "must be an integer, not true"),
        (int, 1.5, "must be an integer, not 1.5"),
        (int, 1e400, "must be an integer"),
        (float, "1", 'must be a number, not "1"'),
        pytest.param(float, 10**400, "must be a number below 1e308, not 1000", id="too large a number"),
        (bool, 1, "must be true or false, not 1"),
        (None, 0, "must be null, not 0"),
        (Literal[1], True, r"must be one of \[1\], not true"),
        (Unit, "kelvin", 'must be one of .*, not "kelvin"'),
        (Unit, ["celsius"], "must be one of"),
        (int | None, "a", 'must be an integer, not "a", or must be null, not "a"'),
        (list[int], {"a": 1}, 'must be an array, not {"a":1}'),
        (list[int], [1, "a"], r"\[1\]: must be an integer"),
        (tuple[int, str], [1], r"must be an array of 2 items, not \[1\]"),
        (dict[str, int], {"a": "b"}, "a: must be an integer"),
        (dict[str, int], [], "must be an object"),
        (Trip, {"days": 1}, "'city' is missing"),
        (Trip, {"city": "Rome", "hotel": "yes"}, "there is no 'hotel'"),
        (Point, {"x": 1, "norm": 1.0}, "there is no 'norm'"),
        (Positive, {"value": 0}, "must be above 0"),
        (str, ["x" * 1000], "must be a string, not .{60}$"),
    ],
)
def test_values_that_do_not_fit_are_refused(annotation: Any, value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"^value: {reason}"):
        read(annotation, value)


def test_arguments_that_are_missing_or_unknown_are_refused() -> None:
    function = Function.of(get_weather, "tools[0]")
    with pytest.raises(ValueError, match="'city' is missing"):
        function.read({})
    with pytest.raises(ValueError, match="there is no 'town'"):
        function.read({"city": "Rome", "town": "Rome"})
    assert function.read({"city": "Rome"}) == {"city": "Rome"}


def test_definitions_of_one_name_must_agree() -> None:
    def both(here: Address, there: Any) -> None: ...

    class Street(BaseModel):
        lanes: int

    class Road(BaseModel):
        street: Street

    both.__annotations__["there"] = Road
    with pytest.raises(ParameterError, match=r"'there' of both\(\) defines Street otherwise"):
        Function.of(both, "tools[0]")


def test_methods_and_decorated_functions_are_functions() -> None:
    class Station:
        def read_out(self, unit: Unit) -> str:
            """Read the thermometer."""
            return unit.value

    method = Function.of(Station().read_out, "tools[0]")
    assert list(method.tool["function"]["parameters"]["properties"]) == ["unit"]
    assert method.call(**method.read({"unit": "celsius"})) == "celsius"

    @functools.wraps(get_weather)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return get_weather(*args, **kwargs)

    assert Function.of(wrapped, "tools[0]").tool == Function.of(get_weather, "tools[0]").tool


def test_defaults_that_json_does_not_have_are_not_told() -> None:
    assert schema_of(list[int], [1]) == {"type": "array", "items": {"type": "integer"}}
    assert schema_of(str | None, None) == {"type": ["string", "null"], "default": None}
