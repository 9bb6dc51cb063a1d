"""JSON Schema to GBNF over a corpus: what the grammar derives is valid, and what is valid it derives."""

from __future__ import annotations

import json
import random
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from llamad.structured import json_schema_grammar

from tests.python.support.gbnf_reader import Gbnf
from tests.python.support.schema_case import Case
from tests.python.support.schema_corpus import CORPUS

N_SAMPLES = 100
ENOUGH_CHARACTERS = 20_000
"""A few long texts show as much as a hundred, and reading one back takes a tenth of a second."""

cases = pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)


def validator_of(schema: Any) -> Any:
    kind = validator_for(schema, default=Draft202012Validator)
    kind.check_schema(schema)
    return kind(schema, format_checker=kind.FORMAT_CHECKER)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@cases
def test_what_is_derived_parses_and_validates(case: Case) -> None:
    grammar = Gbnf(json_schema_grammar(case.schema, "schema"))
    validator = validator_of(case.schema)
    rng = random.Random(case.name)
    n_read = 0
    for _ in range(N_SAMPLES):
        text = grammar.sample(rng)
        for value in (json.loads(text), orjson.loads(text)):
            validator.validate(value)
        assert grammar.derives(text)
        n_read += len(text)
        if n_read > ENOUGH_CHARACTERS:
            break


@cases
def test_valid_values_are_derived_and_others_are_not(case: Case) -> None:
    grammar = Gbnf(json_schema_grammar(case.schema, "schema"))
    validator = validator_of(case.schema)
    for value in case.valid:
        validator.validate(value)
        assert grammar.derives(compact(value)), compact(value)[:200]
        assert grammar.derives(json.dumps(value, ensure_ascii=False)) or (
            isinstance(case.schema, dict) and ("enum" in case.schema or "const" in case.schema)
        )
    for value in case.invalid:
        assert not grammar.derives(compact(value)), compact(value)[:200]


@pytest.mark.parametrize("begun", ['{"a":', "["])
@pytest.mark.parametrize("schema", [True, {"type": ["object", "array"]}])
def test_free_values_nest_only_so_deep(schema: Any, begun: str) -> None:
    ended = "}" if begun[0] == "{" else "]"
    grammar = Gbnf(json_schema_grammar(schema, "schema"))
    for depth, derived in ((1, True), (32, True), (33, False), (400, False)):
        assert grammar.derives(begun * depth + "0" + ended * depth) == derived


def test_what_a_schema_says_nests_without_end() -> None:
    grammar = Gbnf(json_schema_grammar({"type": "array", "items": {"$ref": "#"}}, "schema"))
    assert grammar.derives("[" * 400 + "]" * 400)
