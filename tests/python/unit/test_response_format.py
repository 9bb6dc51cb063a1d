"""The fields that say what an answer must look like: each becomes the grammar of its content."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from llamad.errors import ParameterError
from llamad.openai.chat_request import ChatRequest, parse_chat
from llamad.structured import choice_grammar, json_schema_grammar, regex_grammar

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
GRAMMAR = 'root ::= "yes" | "no"'


def parse(**given: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | given
    return parse_chat(orjson.dumps(body))


def json_schema(**changed: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA} | changed}


def refused(**given: Any) -> str | None:
    with pytest.raises(ParameterError) as caught:
        parse(**given)
    return caught.value.param


OF_SCHEMA = json_schema_grammar(SCHEMA, "x")
ANY_OBJECT = json_schema_grammar({"type": "object"}, "x")
OF_CHOICE = choice_grammar(["yes", "no"], "x")
OF_REGEX = regex_grammar("a+", "x")


@pytest.mark.parametrize(
    ("field", "value", "grammar"),
    [
        ("response_format", {"type": "json_object"}, ANY_OBJECT),
        ("response_format", {"type": "json_object", "schema": SCHEMA}, OF_SCHEMA),
        ("response_format", json_schema(), OF_SCHEMA),
        ("response_format", json_schema(strict=True, description="x"), OF_SCHEMA),
        ("response_format", json_schema(strict=False), OF_SCHEMA),
        ("json_schema", SCHEMA, OF_SCHEMA),
        ("grammar", GRAMMAR, GRAMMAR),
        ("guided_json", SCHEMA, OF_SCHEMA),
        ("guided_json", orjson.dumps(SCHEMA).decode(), OF_SCHEMA),
        ("guided_choice", ["yes", "no"], OF_CHOICE),
        ("guided_regex", "a+", OF_REGEX),
        ("guided_grammar", GRAMMAR, GRAMMAR),
        ("structured_outputs", {"json": SCHEMA}, OF_SCHEMA),
        ("structured_outputs", {"json_object": True, "regex": None}, ANY_OBJECT),
        ("structured_outputs", {"choice": ["yes", "no"]}, OF_CHOICE),
        ("structured_outputs", {"regex": "a+", "json_object": False}, OF_REGEX),
        ("structured_outputs", {"grammar": GRAMMAR}, GRAMMAR),
    ],
)
def test_each_becomes_a_grammar(field: str, value: Any, grammar: str) -> None:
    request = parse(**{field: value})
    assert request.sampling.grammar == grammar
    assert request.constraint_field == field


@pytest.mark.parametrize("given", [{}, {"response_format": {"type": "text"}}, {"structured_outputs": {}}])
def test_free_text(given: dict[str, Any]) -> None:
    request = parse(**given)
    assert (request.sampling.grammar, request.constraint_field) == ("", "")


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "structural_tag"}}, "response_format.type"),
        ({"response_format": {"type": "json_object", "schema": "x"}}, "response_format.schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": 1}}, "response_format.json_schema"),
        ({"response_format": json_schema(name=None)}, "response_format.json_schema.name"),
        ({"response_format": json_schema(schema=None)}, "response_format.json_schema.schema"),
        ({"response_format": json_schema(schema=True)}, "response_format.json_schema.schema"),
        ({"response_format": json_schema(strict="yes")}, "response_format.json_schema.strict"),
        ({"json_schema": "{}"}, "json_schema"),
        ({"grammar": {}}, "grammar"),
        ({"guided_json": "{"}, "guided_json"),
        ({"guided_json": "[]"}, "guided_json"),
        ({"guided_json": 1}, "guided_json"),
        ({"guided_choice": []}, "guided_choice"),
        ({"guided_choice": "yes"}, "guided_choice"),
        ({"guided_choice": ["yes", 1]}, "guided_choice[1]"),
        ({"guided_regex": 1}, "guided_regex"),
        ({"guided_regex": "("}, "guided_regex"),
        ({"guided_grammar": 1}, "guided_grammar"),
        ({"structured_outputs": "json"}, "structured_outputs"),
        ({"structured_outputs": {"regex": 1}}, "structured_outputs.regex"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs.regex"),
        ({"structured_outputs": {"json_object": 1}}, "structured_outputs.json_object"),
    ],
)
def test_wrong_value_is_named(given: dict[str, Any], param: str) -> None:
    assert refused(**given) == param


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (json_schema, "response_format.json_schema.schema"),
        (lambda schema: {"type": "json_object", "schema": schema}, "response_format.schema"),
    ],
)
def test_a_keyword_that_cannot_be_enforced_is_named(given: Any, where: str) -> None:
    schema = {"type": "object", "properties": {"age": {"not": {"type": "string"}}}}
    assert refused(response_format=given(schema=schema)) == f"{where}.properties.age.not"


def test_only_one_of_them() -> None:
    assert refused(guided_regex="a", json_schema=SCHEMA) == "guided_regex"
    assert refused(response_format={"type": "json_object"}, grammar=GRAMMAR) == "grammar"
    assert parse(response_format={"type": "text"}, grammar=GRAMMAR).sampling.grammar == GRAMMAR


def test_tools_that_may_be_called_leave_no_room_for_a_form() -> None:
    tools = [{"type": "function", "function": {"name": "add"}}]
    assert refused(tools=tools, response_format={"type": "json_object"}) == "response_format"
    assert refused(tools=tools, guided_regex="a") == "guided_regex"
    assert parse(tools=tools, response_format={"type": "text"}).sampling.grammar == ""
    request = parse(tools=tools, tool_choice="none", response_format={"type": "json_object"})
    assert request.sampling.grammar == ANY_OBJECT
