"""Schemas of arrays and objects."""

from __future__ import annotations

from .schema_case import INTEGER, NUMBER, POINT, STRING, Case, object_schema

ARRAYS = (
    Case("items", {"type": "array", "items": INTEGER}, ([], [1], [1, 2, 3]), (["a"],)),
    Case(
        "count",
        {"type": "array", "items": INTEGER, "minItems": 2, "maxItems": 3},
        ([1, 2], [1, 2, 3]),
        ([1], [1, 2, 3, 4]),
    ),
    Case(
        "many items",
        {"type": "array", "items": {"const": 1}, "minItems": 1200, "maxItems": 2400},
        ([1] * 1200, [1] * 2400),
        ([1] * 1199, [1] * 2401),
    ),
    Case(
        "tuple",
        {"type": "array", "prefixItems": [STRING, INTEGER], "minItems": 2, "maxItems": 2},
        (["a", 1],),
        (["a"], [1, "a"], ["a", 1, 2]),
    ),
    Case(
        "tuple and others",
        {"type": "array", "prefixItems": [STRING], "items": INTEGER, "maxItems": 3},
        ([], ["a"], ["a", 1, 2]),
        (["a", "b"], ["a", 1, 2, 3]),
    ),
    Case("tuple without others", {"prefixItems": [STRING, INTEGER], "items": False}, ([], ["a"], ["a", 1])),
    Case(
        "tuple of three",
        {"prefixItems": [STRING, INTEGER, STRING], "minItems": 1},
        (["a"], ["a", 1, "b"]),
        ([],),
    ),
    Case(
        "draft 7 tuple",
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "array",
            "items": [STRING, INTEGER],
            "additionalItems": False,
        },
        (["a", 1],),
        (["a", 1, 2],),
    ),
    Case("no items", {"type": "array", "items": False}, ([],), ([1],)),
    Case("nested arrays", {"type": "array", "items": {"type": "array", "items": NUMBER}}, ([[], [1, 2.5]],)),
    Case("one unique item", {"type": "array", "items": STRING, "uniqueItems": True, "maxItems": 1}, (["a"],)),
    Case(
        "merged items",
        {
            "allOf": [
                {"type": "array", "items": {"minimum": 2}},
                {"items": {"type": "integer", "maximum": 4}, "maxItems": 2},
            ]
        },
        ([2, 4],),
        ([1], [5]),
    ),
)

OBJECTS = (
    Case("closed", POINT, ({"x": 1, "y": 2.5},), ({"x": 1}, {"x": 1, "y": 2, "z": 3})),
    Case(
        "optional members",
        object_schema({"a": INTEGER, "b": INTEGER, "c": INTEGER, "d": INTEGER}, "c"),
        ({"c": 1}, {"a": 1, "c": 2}, {"b": 1, "c": 2, "d": 3}, {"a": 1, "b": 1, "c": 1, "d": 1}),
        ({}, {"a": 1}),
    ),
    Case(
        "all optional",
        object_schema({"a": INTEGER, "b": INTEGER}),
        ({}, {"a": 1}, {"b": 1}, {"a": 1, "b": 2}),
    ),
    Case("no members", object_schema({}, additionalProperties=False), ({},), ({"a": 1},)),
    Case("map", {"type": "object", "additionalProperties": INTEGER}, ({}, {"a": 1, "b c": 2}), ({"a": "x"},)),
    Case(
        "open",
        object_schema({"a": INTEGER, "ab": INTEGER, 'b"\\é': INTEGER}, "a", additionalProperties=STRING),
        ({"a": 1}, {"a": 1, "x": "y", "abc": "z", "": "e"}, {"a": 1, "ab": 2, 'b"\\é': 3, "b": "x"}),
        ({"a": 1, "x": 2},),
    ),
    Case(
        "open to anything",
        object_schema({"a": INTEGER}, additionalProperties=True),
        ({"b": [1], "": None}, {"a": 1}),
    ),
    Case(
        "keys with escapes",
        object_schema({'q"\\/\n': STRING, "漢\t": STRING}, 'q"\\/\n', "漢\t"),
        ({'q"\\/\n': "x", "漢\t": "y"},),
    ),
    Case(
        "required but not named",
        {"type": "object", "required": ["z"], "properties": {"a": INTEGER}},
        ({"z": [1]}, {"a": 1, "z": None}),
        ({"a": 1},),
    ),
    Case("forbidden member", object_schema({"a": INTEGER, "b": False}), ({"a": 1}, {}), ({"b": 1},)),
    Case("object without type", {"properties": {"a": INTEGER}, "required": ["a"]}, ({"a": 1},), ({},)),
    Case(
        "patternProperties",
        {
            "type": "object",
            "patternProperties": {"^x-": INTEGER, "_s$": STRING},
            "additionalProperties": False,
        },
        ({"x-a": 1, "b_s": "x"},),
        ({"a": 1}, {"x-a": "y"}),
    ),
    Case(
        "pattern and named",
        object_schema({"x-a": {"minimum": 5}}, patternProperties={"^x-": INTEGER}),
        ({"x-a": 5, "x-b": 1},),
        ({"x-a": 4},),
    ),
    Case(
        "propertyNames",
        {
            "type": "object",
            "propertyNames": {"pattern": "^[a-z]+$", "maxLength": 3},
            "additionalProperties": INTEGER,
        },
        ({"abc": 1},),
        ({"abcd": 1}, {"A": 1}),
    ),
    Case(
        "enum of names",
        {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": NUMBER},
        ({}, {"a": 1, "b": 2.5}),
        ({"c": 1},),
    ),
    Case(
        "at least one",
        {"type": "object", "additionalProperties": INTEGER, "minProperties": 1, "maxProperties": 2},
        ({"a": 1}, {"a": 1, "b": 2}),
        ({},),
    ),
    Case(
        "trivial counts",
        object_schema({"a": INTEGER, "b": INTEGER}, "a", minProperties=1, maxProperties=2),
        ({"a": 1},),
    ),
)
