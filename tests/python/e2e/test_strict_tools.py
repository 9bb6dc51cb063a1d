"""What a strict tool may say of its arguments is what llama.cpp's grammar of calls enforces.

Each keyword is tried twice by the same random model: without it some arguments break the rule, so that the
samples would show it, and with it none do.
"""

from __future__ import annotations

import json
from datetime import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from llamad import _engine
from llamad.structured import check_tool_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)

WAIT_S = 60.0
N_CHOICES = 16
N_ROUNDS = 2
MOST_ROUNDS = 10
"""Until one sample has shown what a keyword forbids; mostly the first does."""

FAVOURED = {'"': 7.0, "]": 4.0, "}": 4.0, ",": 4.0}
"""What the model is talked into, or it would hardly ever come to an end."""

ONES: dict[str, Any] = {"type": "array", "items": {"const": 1}, "minItems": 1, "maxItems": 4}
SMALL: dict[str, Any] = {"type": "integer", "minimum": -99, "maximum": 99}
WORD: dict[str, Any] = {"type": "string", "maxLength": 9}


def closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


MEMBERS = {"a": {"type": "null"}, "b": {"type": "null"}}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "type": ({"type": "boolean"}, {"type": ["boolean", "null"]}),
    "types": ({"type": ["boolean", "null"]}, {"type": ["boolean", "null", "array"]}),
    "enum": ({"type": "string", "enum": ["a", "é"]}, WORD),
    "const": ({"const": {"a": [1, None]}}, {"enum": [{"a": [1, None]}, {"a": [2, None]}]}),
    "minLength": (WORD | {"minLength": 2, "maxLength": 4}, WORD | {"maxLength": 4}),
    "maxLength": (WORD | {"maxLength": 2}, WORD),
    "minimum": (SMALL | {"minimum": -7}, SMALL),
    "maximum": (SMALL | {"maximum": 7}, SMALL),
    "minimum alone": ({"type": "integer", "minimum": 123}, {"type": "integer"}),
    "maximum alone": ({"type": "integer", "maximum": 12}, {"type": "integer"}),
    "exclusiveMinimum": ({"type": "integer", "exclusiveMinimum": -7, "maximum": 99}, SMALL),
    "exclusiveMaximum": ({"type": "integer", "minimum": -99, "exclusiveMaximum": 7.5}, SMALL),
    "format: uuid": ({"type": "string", "format": "uuid"}, WORD),
    "format: time": ({"type": "string", "format": "time"}, WORD),
    "items": (
        {"type": "array", "items": {"type": "null"}, "maxItems": 3},
        {"type": "array", "items": {"type": ["null", "boolean"]}, "maxItems": 3},
    ),
    "minItems": (ONES | {"minItems": 3}, ONES),
    "maxItems": (ONES | {"maxItems": 2}, ONES),
    "prefixItems": (
        {"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}]},
        {"type": "array", "items": {"type": ["null", "boolean"]}, "maxItems": 3},
    ),
    "required": (closed(MEMBERS, "a", "b"), closed(MEMBERS, "a")),
    "additionalProperties": (
        {"type": "object", "additionalProperties": {"type": "null"}},
        {"type": "object", "additionalProperties": {"type": ["null", "boolean"]}},
    ),
    "additionalProperties: false": (
        closed({"a": {"type": "null"}}),
        {"type": "object", "additionalProperties": {"type": "null"}},
    ),
    "anyOf": ({"anyOf": [{"const": 1}, {"type": "null"}]}, {"enum": [1, None, 2, 3]}),
    "oneOf": ({"oneOf": [{"const": 1}, {"type": "null"}]}, {"enum": [1, None, 2, 3]}),
    "$ref": ({"$ref": "#/$defs/list"}, {"type": "array", "items": {"enum": [[], 1]}, "maxItems": 2}),
}
"""Keyword -> a schema that has it, and one that a value may fit without fitting the first."""

DEFINITIONS = {"list": {"type": "array", "items": {"$ref": "#/$defs/list"}, "maxItems": 1}}

FORMATS = FormatChecker(formats=())


@FORMATS.checks("uuid", ValueError)
def is_uuid(text: object) -> bool:
    return bool(UUID(str(text)))


@FORMATS.checks("time", ValueError)
def is_time(text: object) -> bool:
    return time.fromisoformat(str(text)).tzinfo is not None


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[_engine.Engine]:
    config = _engine.EngineConfig(model_path=str(tiny_model), n_ctx=1024, n_parallel=8, n_threads=1)
    engine = _engine.Engine(config)
    yield engine
    engine.close()


def parameters(schema: dict[str, Any]) -> dict[str, Any]:
    return closed({"x": schema}, "x") | {"$defs": DEFINITIONS}


def called_with(engine: _engine.Engine, schema: dict[str, Any], rounds: int) -> Iterator[Any]:
    """The arguments of forced calls, as many as were written to their end."""
    for seed in range(rounds):
        yield from sampled(engine, schema, seed)


def sampled(engine: _engine.Engine, schema: dict[str, Any], seed: int) -> list[Any]:
    function = {"name": "f", "parameters": parameters(schema)}
    conversation = {
        "messages": [{"role": "user", "content": "hello"}],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    }
    bias = [(engine.tokenize(text, add_special=False)[0], added) for text, added in FAVOURED.items()]
    params = _engine.SamplingParams(temperature=1.5, top_k=0, seed=seed, max_tokens=120, logit_bias=bias)
    prepared = engine.prepare_chat(json.dumps(conversation), params, stream=False, n=N_CHOICES)
    return [
        json.loads(written)
        for text, reason in finished(engine, prepared)
        if reason == "stop" and (written := arguments_in(prepared, text))
    ]


def finished(engine: _engine.Engine, prepared: _engine.Prepared) -> list[tuple[str, str]]:
    running = set(engine.submit(prepared))
    texts: list[tuple[str, str]] = []
    while running:
        assert engine.wait(WAIT_S)
        for request_id, text, _, _, finish in engine.drain():
            assert finish is not None
            texts.append((text, finish.finish_reason))
            running.discard(request_id)
    return texts


def arguments_in(prepared: _engine.Prepared, text: str) -> str:
    parser = prepared.parser()
    assert parser is not None
    events = [*parser.feed(text), *parser.finish()]
    return "".join(event[3] for event in events if event[0] == "tool_call")


@pytest.mark.parametrize("keyword", CASES)
def test_what_a_strict_tool_may_say_is_enforced(engine: _engine.Engine, keyword: str) -> None:
    schema, looser = CASES[keyword]
    check_tool_schema(parameters(schema), "parameters")
    # llama.cpp's lists end with `prefixItems`, which JSON Schema wants to be told.
    told = schema | ({"items": False} if "prefixItems" in schema else {})
    validator = Draft202012Validator(parameters(told), format_checker=FORMATS)

    written = list(called_with(engine, schema, N_ROUNDS))
    assert len(written) >= N_CHOICES // 4
    for arguments in written:
        validator.validate(arguments)
    assert not all(map(validator.is_valid, called_with(engine, looser, MOST_ROUNDS)))
