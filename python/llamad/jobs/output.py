"""`Output`: text that must be JSON of a schema, and what it is parsed to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import orjson

from ..errors import OutputError, ParameterError
from ..structured import schema_text_grammar

if TYPE_CHECKING:
    from ..results import Result


class ModelClass(Protocol):
    """A pydantic model, or a class with the same two methods."""

    def model_json_schema(self) -> dict[str, Any]: ...
    def model_validate_json(self, json_data: str, /) -> Any: ...


class Adapter(Protocol):
    """Pydantic's `TypeAdapter`, or an object with the same two methods."""

    def json_schema(self) -> dict[str, Any]: ...
    def validate_json(self, data: str, /) -> Any: ...


JsonSchema: TypeAlias = Mapping[str, Any] | ModelClass | Adapter
"""A JSON Schema, a pydantic model class or a pydantic `TypeAdapter`."""

_NUMBER_STARTS = tuple("-0123456789")


@dataclass(frozen=True, slots=True)
class Output:
    """What a text must be.

    Attributes:
        grammar: GBNF of the schema.
        read: makes of the JSON what the caller wants; raises ValueError.
    """

    grammar: str
    read: Callable[[str], Any]

    @classmethod
    def of(cls, json_schema: JsonSchema | None) -> Output | None:
        """Make the grammar of a schema.

        Raises:
            ParameterError: it is no schema, or a part of it cannot be enforced.
        """
        if json_schema is None:
            return None
        schema, read = _schema_and_reader(json_schema)
        return cls(schema_text_grammar(_text(schema), "json_schema"), read)

    def parse(self, text: str, result: Result) -> Any:
        """Return what a text stands for; None where it ended before its JSON did.

        Args:
            text: what was said.
            result: how that ended.

        Raises:
            OutputError: the text fits the schema, but its class refuses it.
        """
        ended_early = result.finish_reason != "stop" or result.stop_string is not None
        if ended_early and text.lstrip().startswith(_NUMBER_STARTS):
            return None  # another digit would have made another number of it
        try:
            return self.read(text)
        except ValueError as error:
            if not _is_json(text):
                return None
            raise OutputError(f"the answer was refused by its own class: {error}", result=result) from error


def _schema_and_reader(given: Any) -> tuple[Any, Callable[[str], Any]]:
    if isinstance(given, Mapping):
        return dict(given), orjson.loads
    for names in (("model_json_schema", "model_validate_json"), ("json_schema", "validate_json")):
        schema, read = (getattr(given, name, None) for name in names)
        if callable(schema) and callable(read):
            return schema(), read
    message = (
        "json_schema must be a JSON Schema (a dict), a pydantic model class or a TypeAdapter, "
        f"got {given if isinstance(given, type) else type(given).__name__}"
    )
    raise ParameterError(message, param="json_schema")


def _text(schema: Any) -> str:
    try:
        return orjson.dumps(schema).decode()
    except TypeError as error:
        raise ParameterError(f"json_schema is not JSON: {error}", param="json_schema") from None


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True
