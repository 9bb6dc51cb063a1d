"""What a schema makes of the text of an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from llamad import ParameterError
from llamad.errors import OutputError
from llamad.jobs.output import Output
from pydantic import TypeAdapter

from tests.python.support.jobs import (
    SCHEMA,
    Count,
    completion,
    result,
)

if TYPE_CHECKING:
    pass


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (SCHEMA, {"n": 4}),
        (Count, Count(n=4)),
        (TypeAdapter(dict[str, int]), {"n": 4}),
        (TypeAdapter(Count), Count(n=4)),
    ],
    ids=["dict", "model", "adapter", "adapter of a model"],
)
def test_a_text_is_parsed_to_what_was_asked_for(schema: Any, expected: Any) -> None:
    job = completion("a", json_schema=schema)
    assert "root ::=" in job.params.grammar
    done = job.finish(result('{"n": 4}'), None)
    assert (done.parsed, done.text) == (expected, '{"n": 4}')


def test_without_a_schema_a_result_stays_as_it_is() -> None:
    given = result('{"n": 4}')
    assert completion("a").finish(given, None) is given


@pytest.mark.parametrize("reason", ["length", "cancelled", "stop"])
@pytest.mark.parametrize("schema", [SCHEMA, Count])
def test_a_text_that_was_cut_is_not_parsed(schema: Any, reason: Any) -> None:
    assert completion("a", json_schema=schema).finish(result('{"n": 4', reason), None).parsed is None


@pytest.mark.parametrize(
    ("text", "reason", "stop_string", "parsed"),
    [
        ("12", "stop", None, 12),
        ("12", "length", None, None),  # of 123, perhaps
        ("-1.5", "cancelled", None, None),
        ("1", "stop", ".", None),
        ("[12]", "length", None, [12]),  # the end of the text had no room, but nothing is missing
        ('"12"', "stop", "\n", "12"),
        ("true", "length", None, True),
    ],
)
def test_only_a_number_may_go_on(text: str, reason: Any, stop_string: str | None, parsed: Any) -> None:
    written = replace(result(text, reason), stop_string=stop_string)
    assert completion("a", json_schema={}).finish(written, None).parsed == parsed


def test_a_class_that_refuses_an_answer_says_so() -> None:
    job = completion("a", json_schema=Count)
    with pytest.raises(OutputError, match="must be even") as caught:
        job.finish(result('{"n": 3}'), None)
    assert caught.value.result is not None
    assert caught.value.result.text == '{"n": 3}'


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "strin"}, "json_schema.type"),
        ({"type": "array", "uniqueItems": True}, "json_schema.uniqueItems"),
        (int, "must be a JSON Schema .* got <class 'int'>"),
        ("{}", "must be a JSON Schema .* got str"),
        ({"enum": [1j]}, "json_schema is not JSON"),
    ],
)
def test_schemas_that_cannot_be_enforced_are_refused(schema: Any, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason) as caught:
        Output.of(schema)
    assert str(caught.value.param).startswith("json_schema")


def test_a_schema_and_a_grammar_exclude_each_other() -> None:
    with pytest.raises(ParameterError, match="'json_schema' and 'grammar'"):
        completion("a", json_schema=SCHEMA, grammar='root ::= "a"')
