"""Schemas that refer to others, combine them, or were written by pydantic."""

from __future__ import annotations

from .schema_case import INTEGER, NUMBER, POINT, STRING, Case, object_schema

_CAT = object_schema({"kind": {"const": "cat"}, "lives": INTEGER}, "kind")
_DOG = object_schema({"kind": {"enum": ["dog", "hound"]}, "barks": {"type": "boolean"}}, "kind")

COMBINED = (
    Case("anyOf", {"anyOf": [STRING, INTEGER, {"type": "null"}]}, ("x", 1, None), (True, 1.5)),
    Case(
        "anyOf within an object",
        object_schema({"a": STRING, "b": STRING}, anyOf=[{"required": ["a"]}, {"required": ["b"]}]),
        ({"a": "x"}, {"b": "y"}, {"a": "x", "b": "y"}),
        ({},),
    ),
    Case(
        "anyOf with an impossible branch",
        {"anyOf": [False, {"type": "string", "enum": [1]}, {"const": 2}]},
        (2,),
    ),
    Case("oneOf by type", {"oneOf": [STRING, INTEGER]}, ("x", 1)),
    Case("oneOf by values", {"oneOf": [{"const": "a"}, {"enum": ["b", "c"]}]}, ("a", "c"), ("d",)),
    Case(
        "oneOf by member",
        {"oneOf": [_CAT, _DOG]},
        ({"kind": "cat", "lives": 9}, {"kind": "hound", "barks": True}),
        ({"kind": "dog", "lives": 1},),
    ),
    Case(
        "oneOf by optional member",
        {
            "oneOf": [
                object_schema({"kind": {"const": "a", "default": "a"}, "x": INTEGER}),
                object_schema({"kind": {"const": "b"}}),
            ]
        },
        ({"kind": "a", "x": 1}, {"kind": "b"}),
        ({}, {"x": 1}),
    ),
    Case(
        "oneOf by forbidden member",
        {
            "oneOf": [
                object_schema({"a": STRING}, "a", additionalProperties=False),
                object_schema({"b": STRING}, "b", additionalProperties=False),
            ]
        },
        ({"a": "x"}, {"b": "x"}),
        ({},),
    ),
    Case(
        "allOf",
        {"allOf": [object_schema({"a": INTEGER}, "a"), object_schema({"b": STRING}, "b")]},
        ({"a": 1, "b": "x"},),
        ({"a": 1},),
    ),
    Case(
        "allOf of the same member",
        {"allOf": [object_schema({"a": {"type": "integer"}}), object_schema({"a": {"minimum": 3}}, "a")]},
        ({"a": 3},),
        ({"a": 2}, {}),
    ),
    Case(
        "allOf with a reference",
        {
            "$defs": {"base": object_schema({"id": INTEGER}, "id")},
            "allOf": [{"$ref": "#/$defs/base"}],
            "properties": {"name": STRING},
        },
        ({"id": 1}, {"name": "x", "id": 1}),
    ),
    Case(
        "allOf closed",
        {"allOf": [POINT, object_schema({"x": {"minimum": 0}, "z": INTEGER})]},
        ({"x": 1, "y": -1},),
        ({"x": -1, "y": 1}, {"x": 1, "y": 1, "z": 1}),
    ),
    Case(
        "allOf of anyOf",
        {"allOf": [{"anyOf": [STRING, INTEGER]}, {"anyOf": [INTEGER, {"type": "null"}]}]},
        (3,),
        ("x",),
    ),
    Case(
        "reference beside keywords", {"$defs": {"n": INTEGER}, "$ref": "#/$defs/n", "minimum": 3}, (3,), (2,)
    ),
    Case(
        "list",
        {
            "$defs": {
                "node": object_schema(
                    {"value": INTEGER, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                    "value",
                    "next",
                    additionalProperties=False,
                )
            },
            "$ref": "#/$defs/node",
        },
        ({"value": 1, "next": {"value": 2, "next": None}},),
        ({"value": 1},),
    ),
    Case(
        "tree",
        object_schema({"name": STRING, "children": {"type": "array", "items": {"$ref": "#"}}}, "name"),
        ({"name": "a", "children": [{"name": "b", "children": []}]},),
    ),
    Case(
        "endless branch",
        {
            "$defs": {"loop": object_schema({"again": {"$ref": "#/$defs/loop"}}, "again")},
            "anyOf": [{"$ref": "#/$defs/loop"}, STRING],
        },
        ("x",),
        ({},),
    ),
    Case(
        "references through names",
        {
            "$defs": {"a/b~c d": INTEGER, "l": {"anyOf": [STRING]}},
            "type": "object",
            "properties": {"x": {"$ref": "#/$defs/a~1b~0c%20d"}, "y": {"$ref": "#/$defs/l/anyOf/0"}},
        },
        ({"x": 1, "y": "s"},),
    ),
    Case(
        "definitions",
        {
            "definitions": {"A": {"$ref": "#/definitions/B"}, "B": {"type": "boolean"}},
            "items": {"$ref": "#/definitions/A"},
        },
        ([True],),
    ),
    Case(
        "mutual recursion",
        {
            "$defs": {
                "E": {"anyOf": [NUMBER, {"$ref": "#/$defs/S"}]},
                "S": {"type": "array", "items": {"$ref": "#/$defs/E"}, "minItems": 1},
            },
            "$ref": "#/$defs/S",
        },
        ([1, [2, [3]]],),
        ([],),
    ),
    Case(
        "annotations",
        {
            "title": "T",
            "description": "d",
            "default": 1,
            "examples": [1],
            "$comment": "c",
            "deprecated": True,
            "readOnly": True,
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "urn:x",
            "x-order": 3,
            "type": "integer",
        },
        (1,),
    ),
)

PYDANTIC = (
    Case(
        "pydantic: event",
        {
            "$defs": {
                "Person": {
                    "properties": {
                        "name": {"title": "Name", "type": "string"},
                        "email": {
                            "anyOf": [{"format": "email", "type": "string"}, {"type": "null"}],
                            "default": None,
                            "title": "Email",
                        },
                    },
                    "required": ["name"],
                    "title": "Person",
                    "type": "object",
                },
                "Level": {"enum": ["low", "high"], "title": "Level", "type": "string"},
            },
            "properties": {
                "when": {"format": "date-time", "title": "When", "type": "string"},
                "people": {
                    "items": {"$ref": "#/$defs/Person"},
                    "minItems": 1,
                    "title": "People",
                    "type": "array",
                },
                "level": {"$ref": "#/$defs/Level", "default": "low"},
                "score": {"exclusiveMinimum": 0.0, "maximum": 1.0, "title": "Score", "type": "number"},
                "span": {
                    "maxItems": 2,
                    "minItems": 2,
                    "prefixItems": [{"type": "integer"}, {"type": "string"}],
                    "title": "Span",
                    "type": "array",
                },
                "tags": {"additionalProperties": {"type": "string"}, "title": "Tags", "type": "object"},
                "data": {"additionalProperties": True, "title": "Data", "type": "object"},
                "any": {"title": "Any"},
            },
            "required": ["when", "people", "score", "span", "data"],
            "title": "Event",
            "type": "object",
        },
        (
            {
                "when": "2024-01-01T00:00:00Z",
                "people": [{"name": "Jo", "email": None}],
                "score": 0.5,
                "span": [1, "x"],
                "data": {"k": [1]},
            },
        ),
    ),
    Case(
        "pydantic: discriminated union",
        {
            "$defs": {
                "Cat": {
                    "properties": {
                        "pet": {"const": "cat", "default": "cat", "title": "Pet", "type": "string"},
                        "lives": {"type": "integer"},
                    },
                    "required": ["lives"],
                    "type": "object",
                },
                "Dog": {
                    "properties": {"pet": {"const": "dog", "title": "Pet", "type": "string"}},
                    "required": ["pet"],
                    "type": "object",
                },
            },
            "properties": {
                "pet": {
                    "discriminator": {
                        "mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"},
                        "propertyName": "pet",
                    },
                    "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
                }
            },
            "required": ["pet"],
            "type": "object",
        },
        ({"pet": {"pet": "cat", "lives": 9}}, {"pet": {"pet": "dog"}}),
    ),
    Case(
        "pydantic: decimal and url",
        {
            "properties": {
                "price": {
                    "anyOf": [
                        {"type": "number", "minimum": 0},
                        {"pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$", "type": "string"},
                    ][:1]
                },
                "url": {"format": "uri", "maxLength": 2083, "minLength": 1, "type": "string"},
                "name": {"maxLength": 64, "minLength": 1, "pattern": "^[a-z][a-z0-9_]*$", "type": "string"},
            },
            "required": ["price", "url", "name"],
            "type": "object",
            "additionalProperties": False,
        },
        ({"price": 3.5, "url": "http://example.com/", "name": "a_1"},),
    ),
)
