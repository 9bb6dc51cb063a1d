"""What cannot be enforced is refused at once, and the error names the place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llamad.errors import ParameterError
from llamad.structured import choice_grammar, json_schema_grammar, regex_grammar

from tests.python.support.gbnf_reader import Gbnf


def of(part: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": part}}


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"type": "integer", "multipleOf": 3}, ".multipleOf"),
        ({"not": {}}, ".not"),
        ({"if": {}}, ".if"),
        ({"contains": {}}, ".contains"),
        ({"dependentRequired": {}}, ".dependentRequired"),
        ({"unevaluatedProperties": False}, ".unevaluatedProperties"),
        ({"nonsense": 1}, ".nonsense"),
        ({"type": "array", "uniqueItems": True}, ".uniqueItems"),
        ({"type": "string", "pattern": "(?=a)"}, ".pattern"),
        ({"type": "string", "pattern": r"(a)\1"}, ".pattern"),
        ({"type": "string", "pattern": "(" * 60_000 + ")" * 60_000}, ".pattern"),
        ({"type": "string", "format": "regex"}, ".format"),
        ({"type": "string", "minLength": 10**6}, ".minLength"),
        ({"type": "array", "maxItems": 10**9}, ".maxItems"),
        ({"type": "object", "minProperties": 3, "properties": {"b": {}}}, ".minProperties"),
        ({"oneOf": [{"type": "string"}, {"minLength": 2}]}, ".oneOf[1]"),
        ({"type": "strin"}, ".type"),
        ({"$ref": "https://example.com"}, ".$ref"),
        ({"$ref": "#/no"}, ".$ref"),
        ({"anyOf": []}, ".anyOf"),
        ({"enum": []}, ".enum"),
        ({"required": "b"}, ".required"),
        ({"items": 3}, ".items"),
        ({"minimum": "3"}, ".minimum"),
        ({"const": float("nan")}, ".const"),
        ({"const": "\ud800"}, ".const"),
        ({"patternProperties": {"(": {}}}, '.patternProperties["("]'),
    ],
)
def test_what_cannot_be_enforced_is_refused(part: Any, place: str) -> None:
    with pytest.raises(ParameterError) as caught:
        json_schema_grammar(of(part), "schema")
    assert caught.value.param == f"schema.properties.a{place}"


@pytest.mark.parametrize(
    "schema", [False, {"$ref": "#"}, {"allOf": [{"type": "string"}, {"type": "null"}]}, 3]
)
def test_a_schema_without_values_is_refused(schema: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        json_schema_grammar(schema, "schema")
    assert caught.value.param == "schema"


def test_a_schema_of_any_depth_gets_an_answer() -> None:
    schema: dict[str, Any] = {}
    for _ in range(60_000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(ParameterError, match="nested too deeply"):
        json_schema_grammar(schema, "schema")


def wide(n: int) -> dict[str, Any]:
    names = [f"property {i}" for i in range(n)]
    return {"type": "object", "properties": {name: {"type": "null"} for name in names}, "required": names}


def doubling(n: int) -> dict[str, Any]:
    levels = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(n)}
    return {"$defs": {**levels, f"d{n}": {}}, "$ref": "#/$defs/d0"}


@pytest.mark.timeout(20)  # without their limits, these take minutes
@pytest.mark.parametrize(
    ("schema", "param"),
    [
        (wide(20_000), "schema.required"),
        (doubling(22), "schema"),
        ({"enum": list(range(60_000))}, "schema.enum"),
        ({"pattern": "a.{30}b", "maxLength": 100}, "schema"),
        ({"pattern": "[ab]c?" * 10_000}, "schema.pattern"),
    ],
)
def test_a_schema_that_would_take_minutes_is_refused(schema: Any, param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        json_schema_grammar(schema, "schema")
    assert caught.value.param == param


@pytest.mark.timeout(20)
def test_an_object_of_a_thousand_properties_is_no_trouble() -> None:
    grammar = Gbnf(json_schema_grammar(wide(1000), "schema"))
    assert grammar.derives(json.dumps(dict.fromkeys(wide(1000)["required"])))


def test_an_enum_of_ten_thousand_strings_is_no_trouble() -> None:
    grammar = Gbnf(json_schema_grammar({"enum": [f"item {i}" for i in range(10_000)]}, "schema"))
    assert grammar.derives('"item 9999"')
    assert not grammar.derives('"item 10000"')


@pytest.mark.parametrize(
    "pattern", ["a{1000000}", "(a", "[z-a]", r"\bx", "a**", "(?i)a", "x{3,2}", "a)", "[a", "\\"]
)
def test_a_pattern_that_cannot_be_enforced_is_refused(pattern: str) -> None:
    with pytest.raises(ParameterError) as caught:
        regex_grammar(pattern, "guided_regex")
    assert caught.value.param == "guided_regex"


@pytest.mark.parametrize(
    ("pattern", "derived", "others"),
    [
        (r"\d{3}-[a-f]+", ["123-abc"], ["12-a", "123-", "x123-a"]),
        ("^yes|no$", ["yes", "no"], ["maybe", "yesno"]),
        ("(a|b)*c?", ["", "abac", "c"], ["cc"]),
        (r"[^x]\.\n", ["a.\n"], ["x.\n", "ab\n"]),
    ],
)
def test_a_regular_expression_matches_as_a_whole(pattern: str, derived: list[str], others: list[str]) -> None:
    grammar = Gbnf(regex_grammar(pattern, "guided_regex"))
    assert [grammar.derives(text) for text in (*derived, *others)] == [True] * len(derived) + [False] * len(
        others
    )


def test_choices() -> None:
    grammar = Gbnf(choice_grammar(["yes", "no", 'a "quote"\n', "yes, but"], "guided_choice"))
    assert all(grammar.derives(text) for text in ("yes", "no", 'a "quote"\n', "yes, but"))
    assert not any(grammar.derives(text) for text in ("", "ye", "yesno", "NO"))


@pytest.mark.parametrize(
    ("choices", "param"),
    [([], "guided_choice"), (["a", ""], "guided_choice[1]"), (["a" * 10**6], "guided_choice")],
)
def test_choices_that_are_none_are_refused(choices: list[str], param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        choice_grammar(choices, "guided_choice")
    assert caught.value.param == param


def test_blanks_are_bounded() -> None:
    grammar = Gbnf(json_schema_grammar(of({"type": "integer"}), "schema"))
    assert grammar.derives(json.dumps({"a": 1}))
    assert not grammar.derives('{"a":  1}')
    assert not grammar.derives('{ "a": 1}')
