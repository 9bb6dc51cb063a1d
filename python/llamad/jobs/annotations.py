"""Python's annotations as JSON Schema, and the way back: what a function gets for its arguments' JSON."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from typing import (
    Annotated,
    Any,
    Literal,
    NoReturn,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from ..errors import ParameterError
from . import json_values as read
from .docstrings import docstring_of

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """What an annotation stands for.

    Attributes:
        schema: of the JSON.
        read: makes the Python value of the JSON's; raises ValueError.
    """

    schema: Schema
    read: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Whose annotation is read.

    Attributes:
        path: of the tool in the caller's list, for errors.
        whose: such as "the parameter 'city' of get_weather()".
        definitions: `$defs` of the whole schema, gathered here.
        inside: classes that are being read.
    """

    path: str
    whose: str
    definitions: Schema = field(default_factory=dict)
    inside: tuple[type, ...] = ()

    def refuse(self, why: str) -> NoReturn:
        """Raise ParameterError of this place."""
        raise ParameterError(f"{self.path}: {self.whose} {why}", param=self.path)


_SCALARS: dict[Any, Kind] = {
    str: Kind({"type": "string"}, read.string),
    int: Kind({"type": "integer"}, read.integer),
    float: Kind({"type": "number"}, read.number),
    bool: Kind({"type": "boolean"}, read.boolean),
    None: Kind({"type": "null"}, read.null),
    types.NoneType: Kind({"type": "null"}, read.null),
    Any: Kind({}, read.anything),
}
_LISTS: dict[Any, Callable[[list[Any]], Any]] = {
    list: list, Sequence: list, Iterable: list, set: set, frozenset: frozenset,
}  # fmt: skip
_JSON_SCALARS = (str, int, float, bool, types.NoneType)


def kind_of(annotation: Any, place: Place) -> Kind:
    """Return what an annotation stands for.

    Known are str, int, float, bool, None, Any, Literal, Enum, unions, lists, sets, tuples, dictionaries with
    text as keys, TypedDict, dataclasses, pydantic models, and `Annotated` with a description.

    Raises:
        ParameterError: it is something else, or something that JSON Schema cannot say.
    """
    if not _is_hashable(annotation):
        place.refuse(f"is annotated with {annotation}, which JSON Schema cannot say")
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:], place)
    if origin is Literal:
        return _values([(value, value) for value in arguments], place)
    if origin in (Union, types.UnionType):
        return _union([kind_of(one, place) for one in arguments])
    if origin in (Required, NotRequired):
        return kind_of(arguments[0], place)
    container = origin or annotation
    if container is tuple or container in _LISTS:
        return _list(container, arguments, place)
    if container in (dict, Mapping):
        return _mapping(arguments, place)
    if not isinstance(annotation, type):
        place.refuse(f"is annotated with {_name(annotation)}, which JSON Schema cannot say")
    return _class(annotation, place)


def _class(annotation: type, place: Place) -> Kind:
    if annotation in place.inside:
        place.refuse(f"contains {annotation.__name__} in itself, which is not supported")
    if issubclass(annotation, Enum):
        return _values([(member.value, member) for member in annotation], place)
    if callable(getattr(annotation, "model_json_schema", None)):
        return _model(annotation, place)
    within = Place(place.path, place.whose, place.definitions, (*place.inside, annotation))
    if is_typeddict(annotation):
        required: frozenset[str] = getattr(annotation, "__required_keys__", frozenset())
        hints = hints_of(annotation, within)
        return _object(
            annotation, dict, {name: (hint, name in required) for name, hint in hints.items()}, within
        )
    if not is_dataclass(annotation):
        place.refuse(f"is annotated with {annotation.__name__}, which JSON Schema cannot say")
    hints = hints_of(annotation, within)
    members = {
        one.name: (hints[one.name], one.default is MISSING and one.default_factory is MISSING)
        for one in fields(annotation)
        if one.init
    }
    return _object(annotation, annotation, members, within)


def _annotated(annotation: Any, metadata: tuple[Any, ...], place: Place) -> Kind:
    kind = kind_of(annotation, place)
    description = ""
    for one in metadata:
        said = one if isinstance(one, str) else getattr(one, "description", None)
        description = description or (said if isinstance(said, str) else "")
        # What pydantic would check, nobody does here: it reads no annotations of functions.
        if type(one).__module__ == "annotated_types" or getattr(one, "metadata", None):
            place.refuse(f"is restricted by {one!r}, which is not enforced: use a pydantic model")
    return Kind(kind.schema | {"description": description}, kind.read) if description else kind


def _values(values: Sequence[tuple[Any, Any]], place: Place) -> Kind:
    """One of these JSON values, each with what it stands for."""
    for value, _ in values:
        if type(value) not in _JSON_SCALARS:
            place.refuse(f"allows {value!r}, which JSON does not have")
    return Kind({"enum": [value for value, _ in values]}, read.one_of(values))


def _union(kinds: list[Kind]) -> Kind:
    if all(kind.schema.keys() == {"type"} for kind in kinds):
        schema: Schema = {"type": [kind.schema["type"] for kind in kinds]}
    else:
        schema = {"anyOf": [kind.schema for kind in kinds]}
    return Kind(schema, read.first([kind.read for kind in kinds]))


def _list(container: Any, arguments: tuple[Any, ...], place: Place) -> Kind:
    if container is tuple and arguments and arguments[-1] is not Ellipsis:
        kinds = [kind_of(one, place) for one in arguments]
        return Kind(
            {"type": "array", "prefixItems": [kind.schema for kind in kinds]},
            read.fixed([kind.read for kind in kinds]),
        )
    item = kind_of(arguments[0] if arguments else Any, place)
    return Kind({"type": "array", "items": item.schema}, read.items(item.read, _LISTS.get(container, tuple)))


def _mapping(arguments: tuple[Any, ...], place: Place) -> Kind:
    key, value = arguments or (str, Any)
    if key is not str:
        place.refuse(f"has {_name(key)} for keys, where JSON has text alone")
    kind = kind_of(value, place)
    return Kind({"type": "object", "additionalProperties": kind.schema}, read.mapping(kind.read))


def _object(
    annotation: type, make: Callable[..., Any], members: Mapping[str, tuple[Any, bool]], place: Place
) -> Kind:
    said = docstring_of(annotation).entries
    kinds = {name: kind_of(hint, place) for name, (hint, _) in members.items()}
    required = [name for name, (_, needed) in members.items() if needed]
    return Kind(
        object_schema(
            {name: described(kind.schema, said.get(name)) for name, kind in kinds.items()}, required
        ),
        read.members({name: kind.read for name, kind in kinds.items()}, required, make),
    )


def _model(annotation: Any, place: Place) -> Kind:
    schema = dict(annotation.model_json_schema())
    for name, definition in schema.pop("$defs", {}).items():
        if place.definitions.setdefault(name, definition) != definition:
            place.refuse(f"defines {name} otherwise than another parameter does")
    return Kind(schema, read.model(annotation.model_validate))


def hints_of(thing: Any, place: Place) -> dict[str, Any]:
    """Return the annotations of a function or class; those that are text are read."""
    try:
        return get_type_hints(thing, include_extras=True)
    except Exception as error:  # noqa: BLE001 - an annotation that is text may be any expression
        place.refuse(f"has an annotation that cannot be read: {error}")


def object_schema(properties: Mapping[str, Schema], required: Sequence[str]) -> Schema:
    """Return the schema of an object of these members and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def described(schema: Schema, description: str | None) -> Schema:
    """Return a schema with a description, unless it has one."""
    return {"description": description} | schema if description else schema


def _is_hashable(annotation: Any) -> bool:
    try:
        hash(annotation)
    except TypeError:
        return False
    return True


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
