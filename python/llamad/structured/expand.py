"""From schemas that hold together to shapes of which one must hold.

References, allOf, anyOf and oneOf are worked out.

A conjunction of alternatives is an alternative of conjunctions, so each branch is merged with everything
around it; schemas of members and items are only collected, and worked out when they are asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .document import Place, resolve
from .keywords import ANNOTATIONS, ASSERTIONS, COMBINING, STRUCTURAL, array_rule, object_rule, schema_list
from .one_of import forced_names
from .shape import Shape

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

_MOST_ALTERNATIVES = 1000
_MOST_WITHIN = 50
_MOST_MERGES = 100_000


class Expander:
    """Works out schemas of one document.

    Args:
        root: the document.
    """

    def __init__(self, root: Place) -> None:
        self._root = root
        self._n_merges = 0

    def expand(self, places: Iterable[Place]) -> list[Shape]:
        """The shapes of values that satisfy all the schemas: one must hold; none: there are no values.

        Raises:
            ParameterError: a keyword is wrong or cannot be enforced.
        """
        shapes = [Shape()]
        for place in places:
            shapes = self._conjoin(shapes, place, ())
        return shapes

    def values(self, places: Iterable[Place]) -> dict[Hashable, Any] | None:
        """The values of const or enum that the schemas allow at most; None where they do not list any."""
        found: dict[Hashable, Any] = {}
        for shape in self.expand(places):
            if shape.values is None:
                return None
            found.update(shape.values)
        return found

    def _conjoin(self, shapes: list[Shape], place: Place, within: tuple[int, ...]) -> list[Shape]:
        """Each shape and the schema; `within` are the schemas that this is part of, at the same value."""
        if place.value is False:
            return []
        if place.value is True:
            return shapes
        if id(place.value) in within:
            place.refuse("refers to itself without going on to a part of the value")
        if len(within) == _MOST_WITHIN:
            place.refuse(f"has more than {_MOST_WITHIN} schemas within each other for the same value")
        self._n_merges += max(len(shapes), 1)
        if self._n_merges > _MOST_MERGES:
            self._root.refuse("has too many schemas that hold together to be enforced; simplify it")
        within = (*within, id(place.value))
        _check_keywords(place, is_root=place.value is self._root.value)
        shapes = [_with_assertions(shape, place) for shape in shapes]
        if "$ref" in place.value:
            shapes = self._conjoin(shapes, resolve(self._root, place.at("$ref")), within)
        for part in schema_list(place.at("allOf")) if "allOf" in place.value else ():
            shapes = self._conjoin(shapes, part, within)
        for keyword in ("anyOf", "oneOf"):
            if keyword in place.value:
                shapes = self._branches(shapes, place.at(keyword), within, apart=keyword == "oneOf")
        return shapes

    def _branches(
        self, shapes: list[Shape], keyword: Place, within: tuple[int, ...], *, apart: bool
    ) -> list[Shape]:
        branches = schema_list(keyword)
        forced: list[tuple[str, ...]] = [()] * len(branches)
        if apart:
            forced = forced_names(keyword, [self._conjoin([Shape()], one, within) for one in branches], self)
        found: list[Shape] = []
        for branch, names in zip(branches, forced, strict=True):
            found += (
                replace(shape, required=tuple(dict.fromkeys((*shape.required, *names))))
                for shape in self._conjoin(shapes, branch, within)
            )
            if len(found) > _MOST_ALTERNATIVES:
                keyword.refuse(f"comes to more than {_MOST_ALTERNATIVES} alternatives")
        return found


def _with_assertions(shape: Shape, place: Place) -> Shape:
    for keyword in place.value:
        if keyword in ASSERTIONS:
            types, add = ASSERTIONS[keyword]
            shape = add(replace(shape, spoken=shape.spoken | types), place.at(keyword))
    if rule := object_rule(place):
        shape = replace(shape, spoken=shape.spoken | {"object"}, objects=(*shape.objects, rule))
    if items := array_rule(place):
        shape = replace(shape, spoken=shape.spoken | {"array"}, arrays=(*shape.arrays, items))
    return shape


def _check_keywords(place: Place, *, is_root: bool) -> None:
    for keyword in place.value:
        known = keyword in ASSERTIONS or keyword in STRUCTURAL or keyword in COMBINING
        if not known and keyword not in ANNOTATIONS and not keyword.startswith("x-"):
            if keyword == "$id" and is_root:
                continue
            place.at(keyword).refuse("is not a keyword that can be enforced")
