"""Each type of field says by its schema exactly what it accepts."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from llamad.containers import AnyObject, ListOf
from llamad.errors import ParameterError
from llamad.fields import (
    INT64_MAX,
    INT64_MIN,
    Boolean,
    Field,
    FieldType,
    Integer,
    LogitBias,
    Nested,
    Number,
    OneOf,
    Only,
    String,
    Strings,
    object_schema,
    parse_fields,
)
from llamad.openai.chat_request import ALL_FIELDS as CHAT_FIELDS
from llamad.openai.completion_request import ALL_FIELDS as COMPLETION_FIELDS
from llamad.openai.completion_request import MAX_PROMPTS, Prompt
from llamad.openai.embeddings import EMBEDDING_FIELDS
from llamad.openai.rerank import RERANK_FIELDS
from llamad.openai.token_requests import DETOKENIZE_FIELDS, TEMPLATE_FIELDS, TOKENIZE_FIELDS

TABLES = {
    "chat": CHAT_FIELDS,
    "completions": COMPLETION_FIELDS,
    "embeddings": EMBEDDING_FIELDS,
    "rerank": RERANK_FIELDS,
    "tokenize": TOKENIZE_FIELDS,
    "detokenize": DETOKENIZE_FIELDS,
    "apply-template": TEMPLATE_FIELDS,
}

INSIDE = Nested((Field("a", Integer(1, 5), "a", required=True), Field("b", Boolean(), "b")))

VALUES: list[Any] = [
    *(True, False, 0, 1, -1, 2, 5, 6, 20, 21, 100, 101, -100, -101, 128, 129, 2**31 - 1, 2**31, -(2**31)),
    *(INT64_MAX, INT64_MIN, 1e19, 0.5, -0.5, 1.5, 1e-9, 2.5, 1e300),
    *("", "a", "b", "none", "text", "x" * 8, "x" * 9, "\U0001f600" * 8, "\U0001f600" * 9, "5", "é"),
    *([], [""], ["a"], ["a", "b"], ["a"] * 4, ["a"] * 5, ["a", 1], ["a", ""], [1], [0, 7], [-1], [2**31]),
    *([1, 1.5], [True], [1, "a"], [[1]], [[1], [2, 3]], [[1], []], [[]], [[1], "a"], [[1], [-1]], [[[1]]]),
    *({}, {"a": 1}, {"a": 6}, {"a": "1"}, {"b": True}, {"a": 1, "b": 1}, {"a": 1, "b": None}, {"a": None}),
    *({"5": 1}, {"5": 100.5}, {"5": -100}, {"5": None}, {"-5": 1}, {"0005": 1}, {"5.0": 1}, {"٣": 1}),
    *({"9" * 9: 1}, {"9" * 10: 1}, {"type": "text"}, {"type": "json"}, {"type": "text", "more": 1}),
    *(["text"], ["a"] * (MAX_PROMPTS + 1), [[1]] * MAX_PROMPTS, {"other": 1}, [{}], [{"a": 1}], [None]),
]
"""JSON values that lie on and beyond the borders of the types below; none is a float that is whole, which
JSON Schema takes for an integer and a field does not."""

TYPES: dict[str, FieldType] = {
    "Boolean": Boolean(),
    "Integer": Integer(),
    "Integer(1, 5)": Integer(1, 5),
    "Integer(int64)": Integer(INT64_MIN, INT64_MAX),
    "Number(0)": Number(0),
    "Number(-2, 2)": Number(-2, 2),
    "Number(0, 1, above)": Number(0, 1, above_minimum=True),
    "String": String(),
    "String(8)": String(most=8),
    "OneOf": OneOf(("a", "none")),
    "Strings": Strings(4),
    "Strings(or_one)": Strings(4, or_one=True),
    "LogitBias": LogitBias(),
    "Nested": INSIDE,
    "Only()": Only((), "this is"),
    "Only(False)": Only((False,), "this is"),
    "Only(0)": Only((0,), "this is"),
    "Only(1)": Only((1, "none"), "this is"),
    "Only([])": Only(([],), "this is"),
    "Only(object)": Only(({"type": "text"}, ["text"]), "this is"),
    "Prompt": Prompt(),
    "ListOf": ListOf(Integer(1, 5)),
    "ListOf(at least 1)": ListOf(INSIDE, at_least=1),
    "AnyObject": AnyObject(),
}


def accepts(kind: FieldType, value: Any) -> bool:
    try:
        kind.parse("x", value)
    except ParameterError as error:
        return not is_good(error)
    return True


def is_good(error: ParameterError) -> bool:
    """Whether an error names the field and stays short; one that does not counts as acceptance."""
    return error.param is not None and error.param.startswith("x") and len(str(error)) < 300


@pytest.mark.parametrize("name", TYPES)
def test_schema_and_parser_agree(name: str) -> None:
    kind = TYPES[name]
    validator = Draft202012Validator(kind.schema())
    accepted = [value for value in VALUES if accepts(kind, value)]
    assert accepted == [value for value in VALUES if validator.is_valid(value)]
    assert accepted or name == "Only()"
    assert len(accepted) < len(VALUES)


@pytest.mark.parametrize("name", TABLES)
def test_the_schema_of_each_field_agrees_with_its_parser(name: str) -> None:
    """The types that are tables of their own, too: messages, tools, response formats."""
    for field in TABLES[name]:
        schema = field.type.schema()
        Draft202012Validator.check_schema(schema)
        validator = Draft202012Validator(schema)
        for value in VALUES:
            if accepts(field.type, value) and not validator.is_valid(value):
                pytest.fail(f"{field.name}: the schema refuses {value!r}, which the parser takes")


def test_an_object_may_lack_what_is_optional_and_have_what_is_unknown() -> None:
    table = (Field("a", Integer(), "a", required=True), Field("b", Boolean(), "b"))
    validator = Draft202012Validator(object_schema(table))
    cases: list[tuple[dict[str, Any], bool]] = [
        ({"a": 1}, True),
        ({"a": 1, "b": None, "c": object}, True),
        ({"b": True}, False),
        ({"a": None}, False),
        ({"a": 1, "b": 1}, False),
    ]
    for body, fine in cases:
        assert validator.is_valid(body) == fine
        if fine:
            assert parse_fields(table, body) == {"a": 1}
        else:
            with pytest.raises(ParameterError):
                parse_fields(table, body)


def test_null_is_absence_for_every_optional_field() -> None:
    for name, table in TABLES.items():
        optional = [field for field in table if not field.required]
        nothing = dict.fromkeys([field.name for field in optional])
        assert parse_fields(optional, nothing) == {}, name
        assert Draft202012Validator(object_schema(optional)).is_valid(nothing), name


def test_where_rows_share_a_target_the_later_wins() -> None:
    table = (Field("old", Integer(), "x"), Field("new", Integer(), "x"), Field("dropped", Integer()))
    assert parse_fields(table, {"new": 2, "old": 1, "dropped": 3}) == {"x": 2}


def test_a_path_leads_into_what_is_nested() -> None:
    with pytest.raises(ParameterError, match=r"'x\[1\]\.a' must be an integer from 1 to 5, not 6") as caught:
        ListOf(INSIDE).parse("x", [{"a": 1}, {"a": 6}])
    assert caught.value.param == "x[1].a"


@pytest.mark.parametrize(
    "value", [orjson.loads(b"[" * 100 + b"]" * 100), {"a": {"b": "c" * 1000}}, "x" * 1000]
)
def test_a_message_stays_short(value: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        Integer().parse("x", value)
    assert len(str(caught.value)) < 150


def test_numbers_become_floats_and_keys_token_ids() -> None:
    assert math.isclose(Number(0).parse("x", 1), 1.0)
    assert type(Number(0).parse("x", 1)) is float
    assert LogitBias().parse("x", {"007": -100}) == {7: -100.0}
