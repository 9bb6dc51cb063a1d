"""Schemas and where they stand: paths for errors, references within the document."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import unquote

from ..errors import ParameterError

_LONGEST_KEY = 60
_LONGEST_PATH = 2000
"""Of a document as deep as that, every path would be as long: all of them together could fill the memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A part of the document.

    Attributes:
        value: what stands there.
        path: how to get there from the request, such as `json_schema.properties.age`.
    """

    value: Any
    path: str

    def at(self, *keys: str | int) -> Place:
        """What stands below, by name or index."""
        value, path = self.value, self.path
        for key in keys:
            value, path = value[key], _path_of(path, key)
        if len(path) > _LONGEST_PATH:
            raise ParameterError(f"{self.path[:_LONGEST_KEY]}… is nested too deeply", param=self.path)
        return Place(value, path)

    def refuse(self, why: str) -> NoReturn:
        """Raise ParameterError of this place."""
        raise ParameterError(f"{self.path} {why}", param=self.path)


def _path_of(path: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    if re.fullmatch(r"[\w$-]+", key) and len(key) <= _LONGEST_KEY:
        return f"{path}.{key}"
    shown = key if len(key) <= _LONGEST_KEY else key[:_LONGEST_KEY] + "…"
    return f"{path}[{json.dumps(shown)}]"


def resolve(root: Place, reference: Place) -> Place:
    """The schema that a `$ref` names: "#", or a JSON pointer behind it.

    Args:
        root: the whole document.
        reference: the `$ref` itself.

    Raises:
        ParameterError: it names nothing, or something outside the document.
    """
    if not isinstance(reference.value, str):
        reference.refuse("must be a string")
    if reference.value != "#" and not reference.value.startswith("#/"):
        reference.refuse('must be a reference within the schema, such as "#/$defs/Name"')
    target = root
    for part in unquote(reference.value[1:]).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target.value, dict) and key in target.value:
            target = target.at(key)
        elif (
            isinstance(target.value, list)
            and re.fullmatch(r"[0-9]{1,9}", key)
            and int(key) < len(target.value)
        ):
            target = target.at(int(key))
        else:
            reference.refuse(f"names nothing in the schema: {reference.value[:_LONGEST_KEY]!r}")
    return target
