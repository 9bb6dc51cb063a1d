"""The types a field of a request can have: each checks one JSON value and says what it expects.

A table of `Field`s is the single definition of a request: its names, types, ranges and where each
value goes. The API's description is made from the same tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from .errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST_SHOWN = 60
_LONGEST_TOKEN_ID = 9
"""Digits: more tokens than any vocabulary has, and no integer overflows."""

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

Schema = dict[str, Any]
"""A JSON Schema, draft 2020-12."""


class FieldType(Protocol):
    """Checks one value; stateless, so one object may serve many fields."""

    def parse(self, path: str, value: Any) -> Any:
        """Return the value as the rest of the program wants it.

        Args:
            path: where the value stands in the body, such as `messages[0].role`.
            value: what the JSON parser made of it; never None, which counts as absent.

        Raises:
            ParameterError: the value has the wrong type or lies outside its range.
        """
        ...

    def schema(self) -> Schema:
        """Describe the values that `parse` accepts.

        JSON Schema takes `1.0` for an integer; `parse` does not. There is no other difference.
        """
        ...


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a request's table.

    Attributes:
        name: the key in the body.
        type: what the value must be.
        target: key under which the parsed value is returned; "" accepts the value and drops it.
        required: whether it must be there. An optional field that is null counts as absent.
    """

    name: str
    type: FieldType
    target: str = ""
    required: bool = False


def parse_fields(table: Iterable[Field], body: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Check a JSON object against a table; where two rows share a target, the later one wins.

    Returns:
        target -> parsed value, for the fields that are there.

    Raises:
        ParameterError: a field is missing, has the wrong type or lies outside its range.
    """
    values = {}
    for field in table:
        value = body.get(field.name)
        if value is None:
            if field.required:
                raise ParameterError(f"'{path}{field.name}' is required", param=f"{path}{field.name}")
            continue
        parsed = field.type.parse(f"{path}{field.name}", value)
        if field.target:
            values[field.target] = parsed
    return values


def object_schema(table: Iterable[Field]) -> Schema:
    """Describe the objects that `parse_fields` accepts; fields that no row knows may be there."""
    properties, required = {}, []
    for field in table:
        described = field.type.schema()
        properties[field.name] = described if field.required else or_null(described)
        if field.required:
            required.append(field.name)
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return schema


def or_null(schema: Schema) -> Schema:
    """Describe the same values, or null."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return schema | {"type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def mismatch(path: str, expected: str, value: Any) -> ParameterError:
    """Return the error for a value that is not what was expected."""
    shown = orjson.dumps(value, default=repr).decode() if _is_shallow(value) else f"an {_kind(value)}"
    if len(shown) > _LONGEST_SHOWN:
        shown = shown[: _LONGEST_SHOWN - 1] + "…"
    return ParameterError(f"'{path}' must be {expected}, not {shown}", param=path)


def _is_shallow(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return not isinstance(value, list) or not any(isinstance(item, dict | list) for item in value)


def _kind(value: Any) -> str:
    return "object" if isinstance(value, dict) else "array"


@dataclass(frozen=True, slots=True)
class Boolean:
    """`true` or `false`."""

    def parse(self, path: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise mismatch(path, "true or false", value)
        return value

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer from `minimum` to `maximum`."""

    minimum: int = 0
    maximum: int = INT32_MAX

    def parse(self, path: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.minimum <= value <= self.maximum:
            raise mismatch(path, f"an integer from {self.minimum} to {self.maximum}", value)
        return value

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `minimum` (or just above it) to `maximum`; None leaves the upper end open."""

    minimum: float
    maximum: float | None = None
    above_minimum: bool = False

    def parse(self, path: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self._allows(value):
            raise mismatch(path, self._expected(), value)
        return float(value)

    def schema(self) -> Schema:
        low = "exclusiveMinimum" if self.above_minimum else "minimum"
        schema: Schema = {"type": "number", low: self.minimum}
        return schema if self.maximum is None else schema | {"maximum": self.maximum}

    def _allows(self, value: float) -> bool:
        if value < self.minimum or (self.above_minimum and value == self.minimum):
            return False
        return self.maximum is None or value <= self.maximum

    def _expected(self) -> str:
        low = f"above {self.minimum:g}" if self.above_minimum else f"of at least {self.minimum:g}"
        return f"a number {low}" + ("" if self.maximum is None else f" and at most {self.maximum:g}")


@dataclass(frozen=True, slots=True)
class String:
    """Text of any length, or of 1 to `most` characters."""

    most: int | None = None

    def parse(self, path: str, value: Any) -> str:
        if not isinstance(value, str):
            raise mismatch(path, "a string", value)
        if self.most is not None and not 1 <= len(value) <= self.most:
            raise mismatch(path, f"a string of 1 to {self.most} characters", value)
        return value

    def schema(self) -> Schema:
        return {"type": "string"} | ({} if self.most is None else {"minLength": 1, "maxLength": self.most})


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few strings."""

    allowed: tuple[str, ...]

    def parse(self, path: str, value: Any) -> str:
        if not isinstance(value, str) or value not in self.allowed:
            raise mismatch(path, " or ".join(f'"{one}"' for one in self.allowed), value)
        return value

    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.allowed)}


@dataclass(frozen=True, slots=True)
class Strings:
    """A list of at most `most` non-empty strings; with `or_one` also a single string."""

    most: int
    or_one: bool = False

    def parse(self, path: str, value: Any) -> tuple[str, ...]:
        if self.or_one and isinstance(value, str):
            value = [value]
        if (
            not isinstance(value, list)
            or len(value) > self.most
            or not all(isinstance(item, str) and item for item in value)
        ):
            single = "a string or " if self.or_one else ""
            raise mismatch(path, f"{single}a list of at most {self.most} non-empty strings", value)
        return tuple(value)

    def schema(self) -> Schema:
        one = {"type": "string", "minLength": 1}
        several = {"type": "array", "items": one, "maxItems": self.most}
        return {"anyOf": [one, several]} if self.or_one else several


@dataclass(frozen=True, slots=True)
class LogitBias:
    """An object of token ids (as strings) and what is added to their logits, from -100 to 100."""

    def parse(self, path: str, value: Any) -> dict[int, float]:
        if not isinstance(value, dict):
            raise mismatch(path, "an object of token ids and numbers", value)
        bias = Number(-100, 100)
        pairs = {}
        for key, added in value.items():
            # The length first: `int` refuses thousands of digits with an error of its own.
            if not (len(key) <= _LONGEST_TOKEN_ID and key.isascii() and key.isdigit()):
                raise mismatch(path, "an object whose keys are token ids", value)
            pairs[int(key)] = bias.parse(f"{path}.{key}", added)
        return pairs

    def schema(self) -> Schema:
        names = {"pattern": f"^[0-9]{{1,{_LONGEST_TOKEN_ID}}}$"}
        return {"type": "object", "propertyNames": names, "additionalProperties": Number(-100, 100).schema()}


@dataclass(frozen=True, slots=True)
class Nested:
    """An object with a table of its own."""

    table: Sequence[Field]

    def parse(self, path: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise mismatch(path, "an object", value)
        return parse_fields(self.table, value, f"{path}.")

    def schema(self) -> Schema:
        return object_schema(self.table)


@dataclass(frozen=True, slots=True)
class Only:
    """A feature that is not served: the values that ask for nothing are fine, all others an error.

    Attributes:
        allowed: the values that change nothing.
        feature: what is not supported, as the message names it.
    """

    allowed: tuple[Any, ...]
    feature: str

    def parse(self, path: str, value: Any) -> None:
        # 1 == True in Python, but not in JSON.
        if not any(type(value) is type(allowed) and value == allowed for allowed in self.allowed):
            raise ParameterError(f"'{path}': {self.feature} not supported by this server", param=path)

    def schema(self) -> Schema:
        return {"enum": list(self.allowed)} if self.allowed else {"not": {}}
