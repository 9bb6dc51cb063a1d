"""Schemas of single values: types, constants, numbers, strings."""

from __future__ import annotations

from .schema_case import INTEGER, NUMBER, STRING, Case

TYPES = (
    Case("anything", {}, ({}, [], None, True, 1, -2.5, "x", {"a": [{"b": None}]}, 1e-07, 12345678901)),
    Case("true", schema=True, valid=({"a": 1}, "x")),
    Case("null", {"type": "null"}, (None,), (0, "", False)),
    Case("boolean", {"type": "boolean"}, (True, False), (0, "true")),
    Case("integer", INTEGER, (0, -1, 42, 999_999_999_999_999), (1.5, "1")),
    Case("number", NUMBER, (0, -1.5, 3.25, 1e22, -0.001, 5e-07), ("1", None)),
    Case("string", STRING, ("", "a", 'q"\\\n\t\x01\x7f', "é漢😀", "\u2028"), (1,)),
    Case("several types", {"type": ["string", "null", "integer"]}, ("x", None, 3), (True, [])),
    Case("number and integer", {"type": ["number", "integer"]}, (1, 1.5)),
    Case("array", {"type": "array"}, ([], [1, [2], {"a": "b"}])),
    Case("object", {"type": "object"}, ({}, {"a": 1, "ü": {"b": [None]}}), ([],)),
)

VALUES = (
    Case(
        "enum",
        {"enum": ["red", "green", 3, 2.5, None, True, {"a": [1, "x"]}]},
        ("red", "green", 3, 2.5, None, True, {"a": [1, "x"]}),
        ("blue", False, {"a": [1]}),
    ),
    Case("const", {"const": 'a "quoted"\nline'}, ('a "quoted"\nline',), ("a",)),
    Case(
        "enum beginning alike",
        {"enum": ["a", "ab", "abc", "b", ""]},
        ("a", "ab", "abc", "b", ""),
        ("c", "aa"),
    ),
    Case("enum and type", {"type": "string", "enum": ["a", 1, None]}, ("a",), (1, None)),
    Case("enum and bounds", {"enum": [1, 5, 10, "x"], "minimum": 4}, (5, 10, "x"), (1,)),
    Case("enum and pattern", {"enum": ["ab", "cd"], "pattern": "^a"}, ("ab",), ("cd",)),
    Case("enum, 1 is 1.0", {"allOf": [{"enum": [1, True]}, {"enum": [1.0, False]}]}, (1.0,), (True, False)),
    Case(
        "unicode enum", {"enum": ["grün", "漢字", "😀", "\u0000", "\x7f"]}, ("grün", "漢字", "😀", "\u0000")
    ),
)

NUMBERS = (
    Case(
        "integer range",
        {"type": "integer", "minimum": -12, "maximum": 345},
        (-12, -11, -1, 0, 9, 10, 99, 100, 345),
        (-13, 346, 1000),
    ),
    Case("integer from", {"type": "integer", "minimum": 7}, (7, 10, 123456789), (6, 0, -7)),
    Case("integer to", {"type": "integer", "exclusiveMaximum": -7}, (-8, -100), (-7, 0)),
    Case("integer, fractional bounds", {"type": "integer", "minimum": 0.5, "maximum": 2.5}, (1, 2), (0, 3)),
    Case("integer, large bounds", {"type": "integer", "minimum": 10**17, "maximum": 2**70}, (10**17, 10**18)),
    Case(
        "integer, exclusive bounds",
        {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
        (1, 9),
        (0, 10),
    ),
    Case("integer below all digits", {"type": "integer", "maximum": -(10**17)}, (-(10**18),), (-1,)),
    Case("one integer", {"type": "integer", "minimum": 100, "maximum": 100}, (100,), (99, 101)),
    Case(
        "multiples of ten",
        {"type": "integer", "multipleOf": 100, "minimum": -250, "maximum": 1000},
        (-200, -100, 0, 100, 1000),
        (50, -300, 1100),
    ),
    Case("multiple of one", {"type": "number", "multipleOf": 1}, (3, -4), (1.5,)),
    Case(
        "number range",
        {"type": "number", "minimum": -1.25, "maximum": 12.5},
        (-1.25, -1.2, -1, -0.5, 0, 0.001, 3, 12, 12.5, 12.4999),
        (-1.26, 12.51, 13, -2),
    ),
    Case("positive number", {"type": "number", "exclusiveMinimum": 0}, (0.5, 1, 1e-5 + 0.1, 99999), (0, -1)),
    Case("probability", {"type": "number", "minimum": 0, "maximum": 1}, (0, 1, 0.5, 0.99, 1.0), (1.01, -0.1)),
    Case(
        "exclusive fraction",
        {"type": "number", "exclusiveMinimum": 0.1, "exclusiveMaximum": 0.3},
        (0.2, 0.11, 0.29),
        (0.1, 0.3),
    ),
    Case("binary fractions", {"type": "number", "minimum": 0.1, "maximum": 0.30000000000000004}, (0.1, 0.3)),
    Case("number to", {"type": "number", "maximum": -0.5}, (-0.5, -1, -123.25), (0, -0.4)),
    Case("large number", {"type": "number", "minimum": 1e17, "maximum": 1e20}, (10**17,), (1,)),
    Case("bounds without type", {"minimum": 3, "maximum": 4}, (3, 3.5, 4), (5,)),
    Case("int32", {"type": "integer", "format": "int32"}, (2**31 - 1, -(2**31)), (2**31,)),
)

STRINGS = (
    Case(
        "lengths", {"type": "string", "minLength": 2, "maxLength": 4}, ("ab", "é漢😀x", '"\\'), ("a", "abcde")
    ),
    Case(
        "long string",
        {"type": "string", "minLength": 1500, "maxLength": 2500},
        ("x" * 1500, "x" * 2500, "é" * 2000),
        ("x" * 1499, "x" * 2501),
    ),
    Case("whole chunks", {"type": "string", "maxLength": 3000}, ("", "x" * 2999, "x" * 3000), ("x" * 3001,)),
    Case("length from", {"type": "string", "minLength": 2500}, ("x" * 2500, "x" * 2600), ("x" * 2499,)),
    Case(
        "pattern", {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{1,3}$"}, ("AB-1", "XY-999"), ("A-1", "AB-")
    ),
    Case("pattern anywhere", {"type": "string", "pattern": "b+c"}, ("abbc", "bc", "é\nbc\t"), ("ac", "")),
    Case("pattern at the start", {"type": "string", "pattern": "^ab"}, ("ab", "abc"), ("cab",)),
    Case("pattern at the end", {"type": "string", "pattern": "ab$"}, ("ab", "xab"), ("abx",)),
    Case(
        "anchored alternatives",
        {"type": "string", "pattern": "^a$|^b{2,}|c$"},
        ("a", "bbx", "xc"),
        ("b", "ab"),
    ),
    Case(
        "pattern with escapes",
        {"type": "string", "pattern": r'^["\\/\n\t\x00-\x02]+$'},
        ('"', "\\", "\n\x01"),
    ),
    Case("shorthands", {"type": "string", "pattern": r"^\w+\s\d\D\S\W[^\d\s]$"}, ("ab_1 2x-?é",), ("ab",)),
    Case(
        "nullable repetition",
        {"type": "string", "pattern": "^(a*|b?)*c{0,2}(x|)$"},
        ("", "aabacx", "cc"),
        ("ccc",),
    ),
    Case(
        "pattern and lengths",
        {"type": "string", "pattern": "^[a-z]+$", "minLength": 3, "maxLength": 5},
        ("abc", "abcde"),
        ("ab", "abcdef"),
    ),
    Case(
        "two patterns", {"allOf": [{"pattern": "^[a-z]*$"}, {"pattern": "x.*y"}]}, ("axby",), ("ayx", "x1y")
    ),
    Case(
        "implied lengths",
        {"type": "string", "pattern": "^[0-9]{5}(-[0-9]{4})?$", "maxLength": 20},
        ("12345",),
    ),
    Case(
        "named group", {"type": "string", "pattern": "^(?P<year>[0-9]{4})(?:-[0-9]+?)??$"}, ("2024", "2024-1")
    ),
    Case(
        "date",
        {"type": "string", "format": "date"},
        ("2024-02-29", "1999-12-31", "0001-01-01", "2000-02-29"),
        ("2023-02-29", "1900-02-29", "2024-13-01", "2024-04-31", "0000-01-01"),
    ),
    Case(
        "time", {"type": "string", "format": "time"}, ("12:34:56Z", "23:59:59.123456+02:00"), ("24:00:00Z",)
    ),
    Case(
        "date-time",
        {"type": "string", "format": "date-time"},
        ("2024-02-29T12:34:56.5-11:30",),
        ("2024-02-29",),
    ),
    Case(
        "duration",
        {"type": "string", "format": "duration"},
        ("P1Y2M3DT4H5M6S", "PT1H", "P2W", "P3D"),
        ("P", "PT"),
    ),
    Case("uuid", {"type": "string", "format": "uuid"}, ("123e4567-e89b-12d3-a456-426614174000",), ("123",)),
    Case(
        "ipv4",
        {"type": "string", "format": "ipv4"},
        ("127.0.0.1", "255.249.100.0"),
        ("256.0.0.1", "01.0.0.0"),
    ),
    Case(
        "ipv6",
        {"type": "string", "format": "ipv6"},
        ("::1", "::", "fe80::1:2", "1:2:3:4:5:6:7:8", "1::"),
        ("1:2",),
    ),
    Case("email", {"type": "string", "format": "email"}, ("jo.do+x@example.org",), ("jo", "@x.org")),
    Case(
        "hostname", {"type": "string", "format": "hostname"}, ("localhost", "a-b.example.com"), ("-a", "a_b")
    ),
    Case(
        "uri",
        {"type": "string", "format": "uri"},
        ("https://example.com/a?b=c#d", "ftp://h:21"),
        ("example",),
    ),
    Case("format and length", {"type": "string", "format": "email", "maxLength": 12}, ("ab@cd.org",)),
    Case("strings without type", {"minLength": 1, "maxLength": 1}, ("a",), ("", "ab")),
)
