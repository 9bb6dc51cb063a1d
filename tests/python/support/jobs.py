"""Jobs without an engine, for the tests of what they ask and make of answers."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pandas as pd
from llamad.jobs import (
    ChatJob,
    chat_job,
    completion_job,
    completion_jobs,
)
from llamad.request_options import DEFAULT
from llamad.results import ChatResult, Result, Timings, ToolCall, Usage
from pydantic import BaseModel, field_validator

USER = {"role": "user", "content": "hello"}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
PLAIN_TOOL = {"type": "function", "function": {"name": "elsewhere", "parameters": SCHEMA}}

NOBODY: Any = None
"""Where no engine is asked."""

TABLE = pd.DataFrame({"prompt": ["a", "b"]})


class Count(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def _even(cls, n: int) -> int:
        if n % 2:
            raise ValueError("must be even")
        return n


class Unit(Enum):
    C = "celsius"


def result(text: str, reason: Any = "stop") -> Result:
    return Result(text, [1], reason, None, Usage(5, 2, 1), Timings(0.0, 1.0, 2.0))


def completion(prompt: Any, params: Any = None, **given: Any) -> Any:
    schema = given.pop("json_schema", None)
    return completion_job(prompt, params, options=DEFAULT, json_schema=schema, overrides=given)


def completions(prompts: Any, params: Any = None, **given: Any) -> Any:
    schema = given.pop("json_schema", None)
    return completion_jobs(prompts, params, options=DEFAULT, json_schema=schema, overrides=given)


def chat(messages: Any = "hello", params: Any = None, **given: Any) -> ChatJob:
    return chat_job(messages, params, options=DEFAULT, overrides={}, **given)


def called(*calls: tuple[str, str], text: str = "", reason: Any = "stop") -> ChatResult:
    """The answer of a model that has made these calls."""
    made = tuple(ToolCall(f"call_{index}", *call) for index, call in enumerate(calls))
    message = {"role": "assistant", "content": None, "tool_calls": [call.to_dict() for call in made]}
    given = {"token_ids": [1], "finish_reason": reason, "stop_string": None, "tool_calls": made}
    return ChatResult(
        text=text, usage=Usage(5, 2, 1), timings=Timings(0.0, 1.0, 2.0), messages=(message,), **given
    )
