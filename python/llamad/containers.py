"""Field types that hold others, or anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .fields import FieldType, Schema, mismatch


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of at least `at_least` values of one type."""

    item: FieldType
    at_least: int = 0

    def parse(self, path: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) < self.at_least:
            raise mismatch(path, "a non-empty list" if self.at_least else "a list", value)
        return [self.item.parse(f"{path}[{index}]", item) for index, item in enumerate(value)]

    def schema(self) -> Schema:
        return {"type": "array", "items": self.item.schema(), "minItems": self.at_least}


@dataclass(frozen=True, slots=True)
class AnyObject:
    """An object that somebody else reads."""

    def parse(self, path: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise mismatch(path, "an object", value)
        return value

    def schema(self) -> Schema:
        return {"type": "object"}
