"""What of a tool's schema the model is held to.

Tools are written in the form that a model's chat template asks for, by llama.cpp's own grammar for that form,
which leaves some keywords of JSON Schema out silently. A tool that asks for `strict` is refused where one of
these is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .document import Place, resolve
from .json_schema import json_schema_grammar
from .keywords import ANNOTATIONS
from .shape import type_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_BY_TYPE = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "format"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "number": frozenset[str](),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
}
_FORMATS = frozenset({"time", "uuid"})
_WHOLE = ("$ref", "anyOf", "oneOf")
"""Keywords beside which llama.cpp reads no others."""


def check_tool_schema(schema: dict[str, Any], path: str) -> None:
    """Refuse a schema of a strict tool's arguments of which any part would not be enforced.

    Args:
        schema: as the JSON parser made it.
        path: name of the parameter, for errors.

    Raises:
        ParameterError: a keyword is wrong or cannot be enforced; `param` is the path to it.
    """
    json_schema_grammar(schema, path)
    root = Place(schema, path)
    todo, seen = [root], {id(schema)}
    while todo:
        for place in _checked_parts(root, todo.pop()):
            if id(place.value) not in seen:
                seen.add(id(place.value))
                todo.append(place)


def _checked_parts(root: Place, place: Place) -> Iterator[Place]:
    """Check one schema; returns those that are part of it."""
    if not isinstance(place.value, dict):
        place.refuse("must be an object of keywords in the schema of a strict tool")
    keywords = {key for key in place.value if key not in ANNOTATIONS and not key.startswith("x-")}
    whole = next((key for key in _WHOLE if key in keywords), None)
    if whole is not None:
        _allow_only(place, keywords, frozenset({whole}), f"beside {whole!r}")
        if whole == "$ref":
            yield resolve(root, place.at("$ref"))
        else:
            yield from (place.at(whole, index) for index in range(len(place.value[whole])))
        return
    types = place.value.get("type", [])
    types = [types] if isinstance(types, str) else types
    listed = [place.value["const"]] if "const" in keywords else place.value.get("enum")
    if listed is not None:
        keyword = "const" if "const" in keywords else "enum"
        _allow_only(place, keywords, frozenset({keyword, "type"}), f"beside {keyword!r}")
        if types and any(type_of(value) not in types for value in listed):
            place.at(keyword).refuse("lists a value that is not of the schema's type")
        return
    if not types:
        _allow_only(place, keywords, frozenset(), "without a type")
    allowed = frozenset({"type"}).union(*(_BY_TYPE[name] for name in types))
    _allow_only(place, keywords, allowed, f"of the type {' or '.join(types)}")
    _check_values(place)
    yield from _members(place)


def _allow_only(place: Place, keywords: set[str], allowed: frozenset[str], where: str) -> None:
    for keyword in sorted(keywords - allowed):
        place.at(keyword).refuse(f"is not enforced {where} in the schema of a strict tool")


def _check_values(place: Place) -> None:
    found = place.value
    for bound in ("Minimum", "Maximum"):
        if bound.lower() in found and f"exclusive{bound}" in found:
            place.at(f"exclusive{bound}").refuse(f"is not enforced beside {bound.lower()!r} in a strict tool")
    if "format" in found:
        lengths = {"minLength", "maxLength"} & found.keys()
        if found["format"] not in _FORMATS or lengths:
            known = ", ".join(sorted(_FORMATS))
            place.at("format").refuse(f"is enforced in a strict tool for {known} alone, and without lengths")
    if "prefixItems" in found:
        for keyword in sorted({"items", "minItems", "maxItems"} & found.keys()):
            place.at(keyword).refuse("is not enforced beside 'prefixItems' in the schema of a strict tool")
    for index, name in enumerate(found.get("required", [])):
        if name not in found.get("properties", {}):
            place.at("required", index).refuse("is not enforced for a property that is not declared")


def _members(place: Place) -> Iterator[Place]:
    found = place.value
    for name in found.get("properties", {}):
        yield place.at("properties", name)
    if isinstance(found.get("additionalProperties"), dict):
        yield place.at("additionalProperties")
    if isinstance(found.get("items"), dict):
        yield place.at("items")
    for keyword in ("items", "prefixItems"):
        if isinstance(found.get(keyword), list):
            yield from (place.at(keyword, index) for index in range(len(found[keyword])))
