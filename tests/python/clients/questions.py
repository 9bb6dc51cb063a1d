"""What the clients ask."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from tests.python.support.tiny_gguf import SMOLLM2_FILE

MODEL = SMOLLM2_FILE.removesuffix(".gguf")


def user(content: str) -> list[Any]:
    """A conversation of one message."""
    return [{"role": "user", "content": content}]


CAPITAL = user("What is the capital of Japan?")
"""Answered with "Tokyo" at temperature 0."""


class Review(BaseModel):
    """An answer whose every field is bounded, so that no small model can go on for ever."""

    sentiment: Literal["good", "bad"]
    stars: int = Field(ge=1, le=5)
    words: list[Literal["soup", "cold", "rude"]] = Field(min_length=1, max_length=3)


REVIEW = user("Rate this: the soup was cold and the waiter rude.")


class GetWeather(BaseModel):
    """Get the weather of a city."""

    city: Literal["Paris", "Tokyo"]
    unit: Literal["celsius", "fahrenheit"]


class GetTime(BaseModel):
    """Get the time in a city."""

    city: Literal["Paris", "Tokyo"]


WEATHER = user("What is the weather in Tokyo, in celsius?")
