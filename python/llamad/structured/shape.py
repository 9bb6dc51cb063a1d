"""What the keywords of one or more schemas, taken together, ask of a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .language import matches

if TYPE_CHECKING:
    from collections.abc import Hashable

    from .document import Place
    from .language import Language
    from .numbers import Bound

ALL_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
"""JSON Schema's types. "number" are the numbers that are no integers, where "integer" is not there too."""


@dataclass(frozen=True, slots=True)
class ObjectRule:
    """What one schema says of the members of an object.

    Attributes:
        properties: by name.
        patterns: of names, with the schema of the values.
        additional: schema of the others; None where the schema does not say.
    """

    properties: dict[str, Place] = field(default_factory=dict)
    patterns: tuple[tuple[Language, Place], ...] = ()
    additional: Place | None = None

    def of(self, name: str) -> list[Place]:
        """The schemas that the member of this name must satisfy."""
        found = [self.properties[name]] if name in self.properties else []
        found += [place for language, place in self.patterns if matches(language, name)]
        return found or ([] if self.additional is None else [self.additional])


@dataclass(frozen=True, slots=True)
class ArrayRule:
    """What one schema says of an array's items: the first few, and the others (None: nothing)."""

    prefix: tuple[Place, ...] = ()
    rest: Place | None = None

    def of(self, index: int) -> list[Place]:
        """The schemas that an item must satisfy."""
        if index < len(self.prefix):
            return [self.prefix[index]]
        return [] if self.rest is None else [self.rest]


@dataclass(frozen=True, slots=True)
class Limit:
    """A count and the keyword that asks for it."""

    count: int
    place: Place


@dataclass(frozen=True, slots=True)
class Shape:
    """A conjunction of keywords; those of a type ask nothing of values of other types.

    Attributes:
        types: those allowed; None where no schema says.
        spoken: types that other keywords are about; they are meant where `types` is None.
        values: those of const and enum, by their identity: the JSON to write; None: any.
    """

    types: frozenset[str] | None = None
    spoken: frozenset[str] = frozenset()
    values: dict[Hashable, tuple[Any, Place]] | None = None
    lower: Bound | None = None
    upper: Bound | None = None
    step: int = 1
    whole: bool = False
    min_length: int = 0
    max_length: int | None = None
    languages: tuple[Language, ...] = ()
    arrays: tuple[ArrayRule, ...] = ()
    min_items: int = 0
    max_items: int | None = None
    unique: Place | None = None
    objects: tuple[ObjectRule, ...] = ()
    required: tuple[str, ...] = ()
    names: tuple[Place, ...] = ()
    min_properties: Limit | None = None
    max_properties: Limit | None = None

    def meant_types(self) -> frozenset[str]:
        """The types that are generated."""
        types = self.types if self.types is not None else self.spoken or ALL_TYPES
        return types - {"number"} if self.whole else types

    def admits(self, value: Any, place: Place) -> bool:
        """Whether one of `values` satisfies the other keywords.

        Raises:
            ParameterError: it is an array or object that other keywords speak of: not worked out.
        """
        if type_of(value) not in (self.types or ALL_TYPES):
            return False
        if isinstance(value, str):
            longest = len(value) if self.max_length is None else self.max_length
            fits = self.min_length <= len(value) <= longest
            return fits and all(matches(language, value) for language in self.languages)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._admits_number(exact(value))
        about_arrays = self.arrays or self.min_items or self.max_items is not None or self.unique
        about_objects = (
            self.objects or self.required or self.names or self.min_properties or self.max_properties
        )
        if (isinstance(value, list) and about_arrays) or (isinstance(value, dict) and about_objects):
            place.refuse("lists an array or object that other keywords restrict, which is not enforced")
        return True

    def _admits_number(self, value: Decimal) -> bool:
        if self.lower and (value < self.lower.value or (self.lower.exclusive and value == self.lower.value)):
            return False
        if self.upper and (value > self.upper.value or (self.upper.exclusive and value == self.upper.value)):
            return False
        return not self.whole or value % self.step == 0

    def property_places(self, name: str) -> tuple[Place, ...]:
        """The schemas that the member of this name must satisfy."""
        return tuple(place for rule in self.objects for place in rule.of(name))


def exact(value: float) -> Decimal:
    """A JSON number as it is written."""
    return Decimal(repr(value))


def type_of(value: Any) -> str:
    """The type of a JSON value; 1.0 is an integer."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "integer" if value == int(value) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def identity(value: Any) -> Hashable:
    """Equal for values that JSON Schema takes for equal, such as 1 and 1.0, and for no others."""
    if isinstance(value, list):
        return "array", tuple(identity(item) for item in value)
    if isinstance(value, dict):
        return "object", frozenset((name, identity(item)) for name, item in value.items())
    return "boolean" if isinstance(value, bool) else "", value
