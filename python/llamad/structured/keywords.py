"""What each keyword of JSON Schema adds to a shape. What is not in the tables here is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .document import Place
from .formats import FORMATS, NUMBER_FORMATS
from .language import both
from .literals import is_unicode
from .numbers import Bound
from .regex import pattern_language
from .shape import ALL_TYPES, ArrayRule, Limit, ObjectRule, Shape, exact, identity

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_COUNT = 100_000
_MOST_SCHEMAS = 2000
_MOST_VALUES = 20_000
_DEEPEST_VALUE = 50
_LARGEST_NUMBER = 10**400

ANNOTATIONS = frozenset({
    "title", "description", "default", "examples", "example", "$comment", "deprecated", "readOnly",
    "writeOnly", "$schema", "$anchor", "$defs", "definitions", "discriminator",
})  # fmt: skip
"""Keywords that ask nothing of a value."""

_NUMBERS = frozenset({"integer", "number"})
_STRINGS, _ARRAYS, _OBJECTS = frozenset({"string"}), frozenset({"array"}), frozenset({"object"})


def _count(place: Place) -> int:
    value = place.value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1 or value < 0:
        place.refuse("must be an integer that is not negative")
    if value > _MOST_COUNT:
        place.refuse(f"must be at most {_MOST_COUNT} to be enforced")
    return int(value)


def _number(place: Place) -> Any:
    value = place.value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _LARGEST_NUMBER:
        place.refuse("must be a number")
    return value


def schema(place: Place) -> Place:
    """A place that must hold a schema."""
    if not isinstance(place.value, (dict, bool)):
        place.refuse("must be a schema: an object or a boolean")
    return place


def _schemas(place: Place) -> dict[str, Place]:
    if not isinstance(place.value, dict):
        place.refuse("must be an object of schemas")
    if len(place.value) > _MOST_SCHEMAS:
        place.refuse(f"must have at most {_MOST_SCHEMAS} schemas to be enforced")
    return {name: schema(place.at(name)) for name in place.value}


def schema_list(place: Place) -> list[Place]:
    """A place that must hold a list of schemas, at least one."""
    if not isinstance(place.value, list) or not place.value:
        place.refuse("must be a list of schemas that is not empty")
    if len(place.value) > _MOST_SCHEMAS:
        place.refuse(f"must have at most {_MOST_SCHEMAS} schemas to be enforced")
    return [schema(place.at(index)) for index in range(len(place.value))]


def _type(shape: Shape, place: Place) -> Shape:
    types = place.value if isinstance(place.value, list) else [place.value]
    if not types or any(not isinstance(name, str) or name not in ALL_TYPES for name in types):
        place.refuse(f"must be one or more of {', '.join(sorted(ALL_TYPES))}")
    allowed = frozenset(types) | (_NUMBERS if "number" in types else frozenset())
    return replace(shape, types=allowed if shape.types is None else shape.types & allowed)


def _checked_value(place: Place) -> Any:
    """A value of const or enum that can be written so that every parser reads it as it is."""
    todo: list[tuple[Any, int]] = [(place.value, 0)]
    while todo:
        value, depth = todo.pop()
        if depth > _DEEPEST_VALUE:
            place.refuse(f"must nest at most {_DEEPEST_VALUE} levels")
        if isinstance(value, dict):
            todo += [(name, depth) for name in value] + [(item, depth + 1) for item in value.values()]
        elif isinstance(value, list):
            todo += [(item, depth + 1) for item in value]
        elif isinstance(value, str) and not is_unicode(value):
            place.refuse("must not have lone surrogates")
        elif isinstance(value, int) and not -(2**63) <= value < 2**64:
            place.refuse("must have integers of 64 bits")
    try:
        json.dumps(place.value, allow_nan=False)
    except (TypeError, ValueError):
        place.refuse("must be a JSON value")
    return place.value


def _with_values(shape: Shape, places: list[Place]) -> Shape:
    values = {identity(_checked_value(place)): (place.value, place) for place in places}
    if shape.values is not None:
        values = {key: value for key, value in values.items() if key in shape.values}
    return replace(shape, values=values)


def _enum(shape: Shape, place: Place) -> Shape:
    if not isinstance(place.value, list) or not place.value:
        place.refuse("must be a list that is not empty")
    if len(place.value) > _MOST_VALUES:
        place.refuse(f"must have at most {_MOST_VALUES} values to be enforced")
    return _with_values(shape, [place.at(index) for index in range(len(place.value))])


def _const(shape: Shape, place: Place) -> Shape:
    return _with_values(shape, [place])


def _lower(*, exclusive: bool) -> Callable[[Shape, Place], Shape]:
    def tighten(shape: Shape, place: Place) -> Shape:
        bound = Bound(exact(_number(place)), exclusive)
        kept = max(bound, shape.lower or bound, key=lambda one: (one.value, one.exclusive))
        return replace(shape, lower=kept)

    return tighten


def _upper(*, exclusive: bool) -> Callable[[Shape, Place], Shape]:
    def tighten(shape: Shape, place: Place) -> Shape:
        bound = Bound(exact(_number(place)), exclusive)
        kept = min(bound, shape.upper or bound, key=lambda one: (one.value, not one.exclusive))
        return replace(shape, upper=kept)

    return tighten


def _multiple_of(shape: Shape, place: Place) -> Shape:
    value = _number(place)
    step = int(value) if value == value // 1 and value < 10**15 else 0
    if step < 1 or step != 10 ** (len(str(step)) - 1):
        place.refuse("must be 1 or another power of ten to be enforced")
    return replace(shape, step=max(shape.step, step), whole=True)


def _min_length(shape: Shape, place: Place) -> Shape:
    return replace(shape, min_length=max(shape.min_length, _count(place)))


def _max_length(shape: Shape, place: Place) -> Shape:
    return replace(shape, max_length=_least(shape.max_length, _count(place)))


def _least(known: int | None, count: int) -> int:
    return count if known is None else min(known, count)


def _text(place: Place) -> str:
    if not isinstance(place.value, str):
        place.refuse("must be a string")
    return place.value


def _pattern(shape: Shape, place: Place) -> Shape:
    language = pattern_language(_text(place), place.path, search=True)
    return replace(shape, languages=(*shape.languages, language))


def _format(shape: Shape, place: Place) -> Shape:
    name = _text(place)
    if name in NUMBER_FORMATS:
        for bound, tighten in zip(NUMBER_FORMATS[name], (_lower, _upper), strict=False):
            shape = tighten(exclusive=False)(shape, Place(bound, place.path))
        return shape
    if name not in FORMATS:
        place.refuse(f"must be one of {', '.join(FORMATS)} to be enforced, got {name[:60]!r}")
    language = FORMATS[name]()
    return shape if language is None else replace(shape, languages=(*shape.languages, language))


def _min_items(shape: Shape, place: Place) -> Shape:
    return replace(shape, min_items=max(shape.min_items, _count(place)))


def _max_items(shape: Shape, place: Place) -> Shape:
    return replace(shape, max_items=_least(shape.max_items, _count(place)))


def _unique_items(shape: Shape, place: Place) -> Shape:
    if not isinstance(place.value, bool):
        place.refuse("must be a boolean")
    return replace(shape, unique=place) if place.value else shape


def _required(shape: Shape, place: Place) -> Shape:
    if not isinstance(place.value, list) or not all(isinstance(name, str) for name in place.value):
        place.refuse("must be a list of strings")
    if len(place.value) > _MOST_SCHEMAS:
        place.refuse(f"must have at most {_MOST_SCHEMAS} names to be enforced")
    return replace(shape, required=tuple(dict.fromkeys((*shape.required, *place.value))))


def _property_names(shape: Shape, place: Place) -> Shape:
    return replace(shape, names=(*shape.names, schema(place)))


def _min_properties(shape: Shape, place: Place) -> Shape:
    limits = [Limit(_count(place), place), *([shape.min_properties] if shape.min_properties else [])]
    return replace(shape, min_properties=max(limits, key=lambda limit: limit.count))


def _max_properties(shape: Shape, place: Place) -> Shape:
    limits = [Limit(_count(place), place), *([shape.max_properties] if shape.max_properties else [])]
    return replace(shape, max_properties=min(limits, key=lambda limit: limit.count))


ASSERTIONS: dict[str, tuple[frozenset[str], Callable[[Shape, Place], Shape]]] = {
    "type": (frozenset(), _type),
    "enum": (frozenset(), _enum),
    "const": (frozenset(), _const),
    "minimum": (_NUMBERS, _lower(exclusive=False)),
    "exclusiveMinimum": (_NUMBERS, _lower(exclusive=True)),
    "maximum": (_NUMBERS, _upper(exclusive=False)),
    "exclusiveMaximum": (_NUMBERS, _upper(exclusive=True)),
    "multipleOf": (_NUMBERS, _multiple_of),
    "minLength": (_STRINGS, _min_length),
    "maxLength": (_STRINGS, _max_length),
    "pattern": (_STRINGS, _pattern),
    "format": (frozenset(), _format),
    "minItems": (_ARRAYS, _min_items),
    "maxItems": (_ARRAYS, _max_items),
    "uniqueItems": (_ARRAYS, _unique_items),
    "required": (_OBJECTS, _required),
    "propertyNames": (_OBJECTS, _property_names),
    "minProperties": (_OBJECTS, _min_properties),
    "maxProperties": (_OBJECTS, _max_properties),
}
"""By keyword: the types that it speaks of, and what it adds."""


def object_rule(place: Place) -> ObjectRule | None:
    """What properties, patternProperties and additionalProperties say, which only mean something together."""
    found = place.value
    if not found.keys() & {"properties", "patternProperties", "additionalProperties"}:
        return None
    patterns = _schemas(place.at("patternProperties")) if "patternProperties" in found else {}
    return ObjectRule(
        properties=_schemas(place.at("properties")) if "properties" in found else {},
        patterns=tuple(
            (pattern_language(pattern, where.path, search=True), where) for pattern, where in patterns.items()
        ),
        additional=schema(place.at("additionalProperties")) if "additionalProperties" in found else None,
    )


def array_rule(place: Place) -> ArrayRule | None:
    """What prefixItems and items (or, until draft 2019-09, items and additionalItems) say together."""
    found = place.value
    if "items" in found and isinstance(found["items"], list):
        prefix, rest = "items", "additionalItems"
    else:
        prefix, rest = "prefixItems", "items"
        if "additionalItems" in found:
            place.at("additionalItems").refuse("must come with a list of items")
    if prefix not in found and rest not in found:
        return None
    return ArrayRule(
        prefix=tuple(schema_list(place.at(prefix))) if prefix in found else (),
        rest=schema(place.at(rest)) if rest in found else None,
    )


STRUCTURAL = frozenset(
    ["properties", "patternProperties", "additionalProperties", "prefixItems", "items", "additionalItems"]
)
COMBINING = frozenset({"$ref", "allOf", "anyOf", "oneOf"})


def string_language(shape: Shape) -> Any:
    """The intersection of the patterns and formats of a shape; `ANYTHING` without any."""
    return both(*shape.languages)
