"""The fields that say what an answer must look like; each becomes a grammar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from ..containers import AnyObject, ListOf
from ..errors import ParameterError
from ..fields import Boolean, Field, Nested, OneOf, Schema, String, object_schema, parse_fields
from ..structured import choice_grammar, regex_grammar, schema_text_grammar

_ANY_OBJECT = '{"type":"object"}'


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """A JSON Schema.

    Attributes:
        or_text: whether it may also be written as a string.
    """

    or_text: bool = False

    def parse(self, path: str, value: Any) -> str:
        if self.or_text and isinstance(value, str):
            return schema_text_grammar(value, path)
        return schema_text_grammar(orjson.dumps(AnyObject().parse(path, value)).decode(), path)

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "object"}, {"type": "string"}]} if self.or_text else {"type": "object"}


@dataclass(frozen=True, slots=True)
class Choices:
    """A list of texts, one of which is the answer."""

    def parse(self, path: str, value: Any) -> str:
        return choice_grammar(ListOf(String(), at_least=1).parse(path, value), path)

    def schema(self) -> Schema:
        return ListOf(String(), at_least=1).schema()


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression that the whole answer matches."""

    def parse(self, path: str, value: Any) -> str:
        return regex_grammar(String().parse(path, value), path)

    def schema(self) -> Schema:
        return {"type": "string"}


_NAMED_SCHEMA = (
    Field("name", String(most=64), required=True),
    Field("description", String()),
    Field("schema", JsonSchema(), "grammar", required=True),
    # Strict or not, the schema is enforced.
    Field("strict", Boolean()),
)
_FORMATS: dict[str, tuple[Field, ...]] = {
    "text": (),
    "json_object": (Field("schema", JsonSchema(), "grammar"),),
    "json_schema": (Field("json_schema", Nested(_NAMED_SCHEMA), "json_schema", required=True),),
}


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """OpenAI's `response_format`; of `json_object`, also with llama.cpp's `schema`."""

    def parse(self, path: str, value: Any) -> str:
        fields = AnyObject().parse(path, value)
        kind = OneOf(tuple(_FORMATS)).parse(f"{path}.type", fields.get("type"))
        values = parse_fields(_FORMATS[kind], fields, f"{path}.")
        match kind:
            case "text":
                return ""
            case "json_object":
                return str(values.get("grammar") or schema_text_grammar(_ANY_OBJECT, path))
            case _:
                return str(values["json_schema"]["grammar"])

    def schema(self) -> Schema:
        return {
            "anyOf": [
                object_schema((Field("type", OneOf((kind,)), required=True), *table))
                for kind, table in _FORMATS.items()
            ]
        }


@dataclass(frozen=True, slots=True)
class JsonObject:
    """Whether the answer is any JSON object."""

    def parse(self, path: str, value: Any) -> str:
        return schema_text_grammar(_ANY_OBJECT, path) if Boolean().parse(path, value) else ""

    def schema(self) -> Schema:
        return Boolean().schema()


_OUTPUT_FIELDS = (
    Field("json", JsonSchema(or_text=True), "json"),
    Field("json_object", JsonObject(), "json_object"),
    Field("choice", Choices(), "choice"),
    Field("regex", Regex(), "regex"),
    Field("grammar", String(), "grammar"),
)


@dataclass(frozen=True, slots=True)
class StructuredOutputs:
    """vLLM's `structured_outputs`: one of several ways to say what the answer must look like."""

    def parse(self, path: str, value: Any) -> str:
        return _the_one(_OUTPUT_FIELDS, AnyObject().parse(path, value), f"{path}.").grammar

    def schema(self) -> Schema:
        return object_schema(_OUTPUT_FIELDS)


CONSTRAINT_FIELDS = (
    Field("response_format", ResponseFormat(), "response_format"),
    # Extensions, named as llama.cpp names them, and as older and newer versions of vLLM do.
    Field("json_schema", JsonSchema(), "json_schema"),
    Field("grammar", String(), "grammar"),
    Field("guided_json", JsonSchema(or_text=True), "guided_json"),
    Field("guided_choice", Choices(), "guided_choice"),
    Field("guided_regex", Regex(), "guided_regex"),
    Field("guided_grammar", String(), "guided_grammar"),
    Field("structured_outputs", StructuredOutputs(), "structured_outputs"),
)
"""At most one of them may ask for something; the values are grammars, "" where one asks for nothing."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an answer must look like.

    Attributes:
        grammar: GBNF; "" for anything.
        field: the field that says so; "" where none does.
    """

    grammar: str = ""
    field: str = ""


def parse_constraint(body: dict[str, Any]) -> Constraint:
    """Check the fields that are in `CONSTRAINT_FIELDS`.

    Raises:
        ParameterError: one cannot be honoured, or there are several.
    """
    return _the_one(CONSTRAINT_FIELDS, body, "")


def _the_one(table: tuple[Field, ...], body: dict[str, Any], path: str) -> Constraint:
    given = [(path + name, grammar) for name, grammar in parse_fields(table, body, path).items() if grammar]
    if not given:
        return Constraint()
    (field, grammar), *others = given
    if others:
        second = others[0][0]
        message = f"'{second}' and '{field}' both say what the answer must look like: give one of them"
        raise ParameterError(message, param=second)
    return Constraint(grammar, field)
