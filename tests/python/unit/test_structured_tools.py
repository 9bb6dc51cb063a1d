"""Schemas of strict tools: what the model would not be held to is refused, and where it stands is named."""

from __future__ import annotations

from typing import Any

import pytest
from llamad.errors import ParameterError
from llamad.structured import check_tool_schema


def of(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


KIND_A, KIND_B = (of({"kind": {"const": kind}}, required=["kind"]) for kind in "ab")


@pytest.mark.parametrize(
    "schema",
    [
        of({}),
        of({"city": {"type": "string", "description": "where"}}, required=["city"]),
        of({"unit": {"type": "string", "enum": ["c", "f"]}, "kind": {"const": 1}}),
        of({"n": {"type": "integer", "minimum": 1, "maximum": 9}, "x": {"type": "number"}}),
        of({"tags": {"type": "array", "items": {"type": "string", "maxLength": 9}, "minItems": 1}}),
        of({"either": {"anyOf": [{"type": "string"}, {"type": "null"}]}}),
        of({"next": {"$ref": "#/$defs/A"}}, **{"$defs": {"A": of({"next": {"$ref": "#/$defs/A"}})}}),
        of({"map": {"type": "object", "additionalProperties": {"type": "integer"}}}),
        of({"pair": {"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}]}}),
        of({"either": {"oneOf": [{"type": "string"}, {"type": "null"}]}}),
        of({"either": {"oneOf": [KIND_A, KIND_B]}}),
        of({"id": {"type": "string", "format": "uuid"}, "maybe": {"type": ["integer", "null"]}}),
    ],
)
def test_what_is_enforced_passes(schema: dict[str, Any]) -> None:
    check_tool_schema(schema, "p")


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"type": "number", "minimum": 0}, ".minimum"),
        ({"type": "integer", "multipleOf": 10}, ".multipleOf"),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": 3}, ".exclusiveMinimum"),
        ({"type": "string", "pattern": "^a$"}, ".pattern"),
        ({"type": "string", "format": "date"}, ".format"),
        ({"type": "string", "format": "uuid", "minLength": 3}, ".format"),
        ({"anyOf": [{"type": "string"}], "type": "string"}, ".type"),
        ({"$ref": "#/$defs/A", "maxLength": 1}, ".maxLength"),
        ({"type": "array", "prefixItems": [{"type": "null"}], "minItems": 1}, ".minItems"),
        ({"type": "object", "properties": {}, "required": ["a"]}, ".required[0]"),
        ({"minLength": 3}, ".minLength"),
        ({"type": "array", "items": {"type": "number", "maximum": 1}}, ".items.maximum"),
        (
            {"type": "object", "additionalProperties": {"type": "number", "maximum": 1}},
            ".additionalProperties.maximum",
        ),
        ({"type": "string", "enum": ["a"], "minLength": 1}, ".minLength"),
        ({"nonsense": 1}, ".nonsense"),
        ({"$ref": "#"}, ".$ref"),
        ({"$ref": "#/$defs/A%20"}, ".$ref"),
        ({"type": "integer", "maximum": 10**16}, ".maximum"),
        ({"type": "integer", "exclusiveMinimum": -(10**16)}, ".exclusiveMinimum"),
        ({"type": "array", "items": True}, ".items"),
        (of({"a": {"type": "null"}}, additionalProperties={"type": "null"}), ".additionalProperties"),
        (of({"a": {"type": "null"}}, additionalProperties=True), ".additionalProperties"),
        # Who leaves the kind out would satisfy both.
        ({"oneOf": [of({"kind": {"const": "a"}}), KIND_B]}, ".oneOf[0]"),
        ({"anyOf": [{"$ref": "#/$defs/A-B"}, {"$ref": "#/$defs/A_B"}]}, ".anyOf[0].$ref"),
    ],
)
def test_what_is_not_is_refused_by_its_path(part: dict[str, Any], place: str) -> None:
    definitions = {"A": {"type": "string"}, "A ": {}, "A-B": {"type": "null"}, "A_B": {"type": "boolean"}}
    schema = of({"a": {"type": "string"}, "b": part}, **{"$defs": definitions})
    with pytest.raises(ParameterError) as caught:
        check_tool_schema(schema, "tools[0].function.parameters")
    assert caught.value.param == f"tools[0].function.parameters.properties.b{place}"
