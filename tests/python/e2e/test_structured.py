"""Models under the grammars of schemas: what they write to its end is JSON that satisfies the schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from llamad import Engine
from llamad.structured import json_schema_grammar

from tests.python.support.schema_corpus import CORPUS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from llamad.results import Result

pytestmark = pytest.mark.timeout(240)

REALISTIC: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "Ann is 34 and lives in Oslo. As JSON:",
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 20},
                "age": {"type": "integer", "minimum": 0, "maximum": 130},
                "city": {"anyOf": [{"type": "string", "maxLength": 20}, {"type": "null"}]},
            },
            "required": ["name", "age", "city"],
            "additionalProperties": False,
        },
    ),
    (
        "Is this review positive? 'I loved it.' As JSON:",
        {
            "type": "object",
            "properties": {
                "sentiment": {"enum": ["positive", "negative", "neutral"]},
                "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            },
            "required": ["sentiment", "confidence"],
        },
    ),
    (
        "The meeting is on 3 May 2024 with Bo and Cy. As JSON:",
        {
            "type": "object",
            "properties": {
                "date": {"type": "string", "format": "date"},
                "people": {
                    "type": "array",
                    "items": {"type": "string", "pattern": "^[A-Z][a-z]{1,8}$"},
                    "minItems": 1,
                    "maxItems": 3,
                },
            },
            "required": ["date", "people"],
        },
    ),
)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(tiny_model, n_parallel=8, n_ctx=256, n_threads=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def real_engine(smollm2: Path) -> Iterator[Engine]:
    with Engine(smollm2, n_parallel=2, n_ctx=512) as engine:
        yield engine


def check(result: Result, schema: Any) -> bool:
    """Validate an answer unless it was cut; whether it was whole."""
    if result.finish_reason == "length":
        return False
    assert result.finish_reason == "stop"
    kind = validator_for(schema, default=Draft202012Validator)
    kind(schema, format_checker=kind.FORMAT_CHECKER).validate(json.loads(result.text))
    return True


def test_random_weights_write_valid_json(engine: Engine) -> None:
    pending = [
        (
            case,
            engine.submit(
                "Say:",
                grammar=json_schema_grammar(case.schema, "schema"),
                max_tokens=100,
                temperature=1.5,
                seed=seed,
            ),
        )
        for case in CORPUS
        for seed in (1, 2)
    ]
    n_whole = sum(check(generation.result(), case.schema) for case, generation in pending)
    assert n_whole > len(pending) / 4  # random text rarely ends an open string


@pytest.mark.parametrize(("prompt", "schema"), REALISTIC)
def test_a_real_model_writes_valid_json(real_engine: Engine, prompt: str, schema: dict[str, Any]) -> None:
    grammar = json_schema_grammar(schema, "schema")
    pending = [
        real_engine.submit(prompt, grammar=grammar, max_tokens=120, temperature=1.5, seed=seed)
        for seed in range(2)
    ]
    assert sum(check(generation.result(), schema) for generation in pending) > 0
