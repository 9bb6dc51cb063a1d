"""Instructor: Pydantic models as answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import instructor
import pytest
from pydantic import BaseModel, field_validator

from .documented import run_python, snippets
from .questions import MODEL, REVIEW, Review

if TYPE_CHECKING:
    from openai import OpenAI

    from tests.python.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(300)


def test_the_documented_snippet_runs(server: ServerProcess) -> None:
    variables = run_python(snippets("Instructor", "python", server.url)[0])
    assert isinstance(variables["label"], variables["Label"])


@pytest.mark.parametrize("mode", [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA])
def test_answers_are_models(client: OpenAI, mode: instructor.Mode) -> None:
    answer = instructor.from_openai(client, mode=mode).chat.completions.create(
        model=MODEL, messages=REVIEW, response_model=Review, temperature=0, max_retries=0
    )
    assert isinstance(answer, Review)


def test_an_answer_that_does_not_validate_is_asked_for_again(client: OpenAI) -> None:
    seen: list[int] = []

    class Second(BaseModel):
        stars: int

        @field_validator("stars")
        @classmethod
        def only_the_second_time(cls, value: int) -> int:
            seen.append(value)
            if len(seen) == 1:
                raise ValueError("say it again")
            return value

    fields: dict[str, Any] = {"model": MODEL, "messages": REVIEW, "temperature": 0, "max_retries": 2}
    patched = instructor.from_openai(client, mode=instructor.Mode.TOOLS)
    answer = patched.chat.completions.create(response_model=Second, **fields)
    assert len(seen) == 2
    assert answer.stars == seen[1]
