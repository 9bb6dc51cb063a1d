"""Texts drawn from a seeded vocabulary, so that both servers, and every later run, get the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

WORDS = (
    "river", "mountain", "harbor", "window", "garden", "engine", "letter", "copper", "winter", "forest",
    "signal", "bridge", "candle", "market", "silver", "thunder", "paper", "station", "orchard", "compass",
    "ladder", "blanket", "kettle", "valley", "meadow", "lantern", "library", "morning", "student", "doctor",
    "captain", "painter", "farmer", "teacher", "builder", "island", "village", "history", "travel", "quiet",
    "bright", "narrow", "ancient", "simple", "broken", "golden", "hidden", "careful", "sudden", "open",
    "late", "early",
)  # fmt: skip
"""Behind a space each is one token of SmolLM2, so that words can be read as tokens."""


def random_words(rng: random.Random, count: int) -> str:
    """So many words with spaces in between."""
    return " ".join(rng.choice(WORDS) for _ in range(count))


def user_message(rng: random.Random, n_words: int) -> str:
    """A message that asks for a long answer."""
    return f"{random_words(rng, n_words)}. Write a story with these words."


def one_token_prompts(count: int) -> list[str]:
    """Distinct prompts of one token; at most as many as there are words."""
    if count > len(WORDS):
        raise ValueError(f"count={count}: there are {len(WORDS)} words")
    return [f" {word}" for word in WORDS[:count]]
