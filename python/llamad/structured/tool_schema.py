"""What of a tool's schema the model is held to.

Tools are written in the form that a model's chat template asks for, by llama.cpp's own grammar for that form,
which leaves some keywords of JSON Schema out silently. A tool that asks for `strict` is refused where one of
these is used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .document import Place, resolve
from .expand import Expander
from .json_schema import json_schema_grammar
from .keywords import ANNOTATIONS
from .one_of import forced_names
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

_PLAIN_REF = re.compile(r"#(/[^/~%]+)+")
"""A reference that llama.cpp follows: it knows neither "#" alone nor escapes."""

_LARGEST_BOUND = 10**15
"""Of integers: llama.cpp keeps bounds in 64 bits, and writes 16 digits where one is missing."""


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
    checker = _Checker(root)
    todo, seen = [root], {id(schema)}
    while todo:
        for place in checker.parts(todo.pop()):
            if id(place.value) not in seen:
                seen.add(id(place.value))
                todo.append(place)


class _Checker:
    def __init__(self, root: Place) -> None:
        self._root = root
        self._expander = Expander(root)
        self._refs: dict[str, str] = {}

    def parts(self, place: Place) -> Iterator[Place]:
        """Check one schema; returns those that are part of it."""
        keywords = _keywords(place)
        whole = next((key for key in _WHOLE if key in keywords), None)
        if whole is None:
            yield from _typed_parts(place, keywords)
            return
        _allow_only(place, keywords, frozenset({whole}), f"beside {whole!r}")
        if whole == "$ref":
            yield self._target(place.at("$ref"))
            return
        if whole == "oneOf":
            self._check_one_of(place.at("oneOf"))
        yield from (place.at(whole, index) for index in range(len(place.value[whole])))

    def _target(self, reference: Place) -> Place:
        if not _PLAIN_REF.fullmatch(reference.value):
            reference.refuse('must be like "#/$defs/Name", without escapes, in the schema of a strict tool')
        # llama.cpp names a rule after the reference, and takes rules of the same name for the same.
        name = re.sub("[^a-zA-Z0-9-]+", "-", reference.value)
        other = self._refs.setdefault(name, reference.value)
        if other != reference.value:
            reference.refuse(f"is too much like {other!r} to be told apart in the schema of a strict tool")
        return resolve(self._root, reference)

    def _check_one_of(self, keyword: Place) -> None:
        """Refuse branches that only a member keeps apart which may be left out."""
        branches = [self._expander.expand((keyword.at(index),)) for index in range(len(keyword.value))]
        forced = forced_names(keyword, branches, self._expander)
        for index, (branch, names) in enumerate(zip(branches, forced, strict=True)):
            for name in names:
                if any(name not in shape.required for shape in branch):
                    keyword.at(index).refuse(f"must require {name!r} in the schema of a strict tool")


def _keywords(place: Place) -> set[str]:
    """Return what a schema asks for."""
    if not isinstance(place.value, dict):
        place.refuse("must be an object of keywords in the schema of a strict tool")
    return {key for key in place.value if key not in ANNOTATIONS and not key.startswith("x-")}


def _typed_parts(place: Place, keywords: set[str]) -> Iterator[Place]:
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
        for keyword in (bound.lower(), f"exclusive{bound}"):
            if abs(found.get(keyword, 0)) > _LARGEST_BOUND:
                place.at(keyword).refuse("is too large to be enforced in the schema of a strict tool")
    if "format" in found:
        lengths = {"minLength", "maxLength"} & found.keys()
        if found["format"] not in _FORMATS or lengths:
            known = ", ".join(sorted(_FORMATS))
            place.at("format").refuse(f"is enforced in a strict tool for {known} alone, and without lengths")
    if "prefixItems" in found:
        for keyword in sorted({"items", "minItems", "maxItems"} & found.keys()):
            place.at(keyword).refuse("is not enforced beside 'prefixItems' in the schema of a strict tool")
    _check_names(place)


def _check_names(place: Place) -> None:
    properties = place.value.get("properties", {})
    for index, name in enumerate(place.value.get("required", [])):
        if name not in properties:
            place.at("required", index).refuse("is not enforced for a property that is not declared")
    # llama.cpp's grammar of other names lets escapes through, so that one may be a property in disguise.
    if properties and place.value.get("additionalProperties", False) is not False:
        place.at("additionalProperties").refuse("must be false beside 'properties' in a strict tool")


def _members(place: Place) -> Iterator[Place]:
    found = place.value
    for name in found.get("properties", {}):
        yield place.at("properties", name)
    if isinstance(found.get("additionalProperties"), dict):
        yield place.at("additionalProperties")
    if "items" in found and not isinstance(found["items"], list):
        yield place.at("items")
    for keyword in ("items", "prefixItems"):
        if isinstance(found.get(keyword), list):
            yield from (place.at(keyword, index) for index in range(len(found[keyword])))
