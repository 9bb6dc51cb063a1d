"""`Function`: a Python function as a tool: its schema, and the call of it with what the model wrote."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from . import json_values as read
from .annotations import Kind, Place, described, hints_of, kind_of, object_schema
from .docstrings import docstring_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .annotations import Schema

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Function:
    """A Python function that the model may call.

    Attributes:
        name: of the function.
        tool: what the model is told, in OpenAI's form.
        call: the function itself.
        read: makes keyword arguments of the JSON object that the model wrote; raises ValueError.
    """

    name: str
    tool: dict[str, Any]
    call: Callable[..., Any]
    read: Callable[[Any], dict[str, Any]]

    @classmethod
    def of(cls, call: Callable[..., Any], path: str) -> Function:
        """Describe a function by its signature, annotations and docstring.

        Args:
            call: a function, method or coroutine function.
            path: of the tool in the caller's list, for errors.

        Raises:
            ParameterError: a parameter has no annotation, or JSON Schema cannot say what it is.
        """
        name = getattr(call, "__name__", None)
        if not isinstance(name, str) or isinstance(call, type):
            Place(path, repr(call)).refuse("is no function: give a function, or a dict in OpenAI's form")
        said, definitions = docstring_of(call), dict[str, Any]()
        kinds: dict[str, Kind] = {}
        properties: dict[str, Schema] = {}
        required = []
        hints = hints_of(call, Place(path, f"{name}()"))
        for parameter in _parameters(call, Place(path, f"{name}()")):
            place = Place(path, f"the parameter {parameter.name!r} of {name}()", definitions)
            kinds[parameter.name] = kind = _kind(parameter, hints, place)
            properties[parameter.name] = described(kind.schema, said.entries.get(parameter.name))
            if parameter.default is parameter.empty:
                required.append(parameter.name)
            else:
                properties[parameter.name] = properties[parameter.name] | _default(parameter.default)
        schema = object_schema(properties, required) | ({"$defs": definitions} if definitions else {})
        function = {"name": name, "description": said.summary, "parameters": schema}
        readers = {parameter: kind.read for parameter, kind in kinds.items()}
        return cls(
            name, {"type": "function", "function": function}, call, read.members(readers, required, dict)
        )


def _parameters(call: Callable[..., Any], place: Place) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        place.refuse("has no signature that could be read")


def _kind(parameter: inspect.Parameter, hints: dict[str, Any], place: Place) -> Kind:
    if parameter.kind not in _BY_NAME:
        place.refuse("cannot be passed by name, as a tool's arguments are")
    if parameter.name not in hints:
        place.refuse("has no annotation")
    return kind_of(hints[parameter.name], place)


def _default(value: object) -> Schema:
    """What the model is told of a default: nothing, where JSON does not have it."""
    value = value.value if isinstance(value, Enum) else value
    return {"default": value} if isinstance(value, str | int | float | bool | None) else {}
