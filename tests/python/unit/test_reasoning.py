"""How many tokens of a text are thoughts, as far as the parser's passages say which text is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from llamad.openai.reasoning import Thoughts


def count(tokens: Sequence[str | bytes], *events: Any, shown: str | None = None) -> int:
    """Count the thoughts among tokens; `shown` is the text where it is not just all of them."""
    thoughts = Thoughts()
    for event in events:
        thoughts.note(event)
    raw = [token if isinstance(token, bytes) else token.encode() for token in tokens]
    text = b"".join(raw).decode() if shown is None else shown
    return thoughts.count_tokens(text, range(len(raw)), lambda ids: [raw[one] for one in ids])


def thought(text: str) -> tuple[str, str]:
    return ("reasoning", text)


def said(text: str) -> tuple[str, str]:
    return ("content", text)


CALL = ("tool_call", 0, "now", "{}")


@pytest.mark.parametrize(
    ("tokens", "events", "expected"),
    [
        (["Hi", "."], [said("Hi.")], 0),
        (["Hi", "."], [], 0),
        # What opens and closes a passage, and blanks that are trimmed, do not count.
        (["<think>", "\n", "I", " see", "</think>", "Yes"], [thought("I see"), said("Yes")], 2),
        (["<think>", "I", " see", "\n", "</think>"], [thought("I see\n")], 3),
        # In a stream the same passage comes in pieces.
        (["<think>", "I", " see", "</think>", "Yes"], [thought("I s"), thought("ee"), said("Yes")], 2),
        # The prompt has opened it already; the answer is cut within it.
        (["I", " see"], [thought("I see")], 2),
        # A token that markup and thought share counts, on either side.
        (["<think>I", " see</", "think>"], [thought("I see")], 2),
        (["<think>I see</think>"], [thought("I see")], 1),
        # Thoughts on both sides of what is said or called.
        (["a", "b", "|", "c", "|", "d"], [thought("ab"), said("c"), thought("d")], 3),
        (["a", "|", "{}", "|", "d"], [thought("a"), CALL, thought("d")], 2),
        # The words of a thought may come again in the answer.
        (["ab", "|", "ab"], [thought("ab"), said("ab")], 1),
        (["ab", "|", "cd"], [said("ab"), thought("cd")], 1),
        # Two passages with nothing but markup between them.
        (["ab", "<|start|>", "cd"], [thought("ab"), thought("cd")], 2),
        # A character that is spread over tokens.
        (["<", b"\xe2", b"\x82", b"\xac", ">"], [thought("€")], 3),
        # What is not in the text was not generated.
        (["ab"], [thought("xy")], 0),
    ],
)
def test_tokens_of_thoughts(tokens: list[Any], events: list[Any], expected: int) -> None:
    assert count(tokens, *events) == expected


def test_the_token_that_ends_the_generation_is_no_thought() -> None:
    assert count(["I", " see", "<|im_end|>"], thought("I see"), shown="I see") == 2


def test_a_stop_string_is_no_thought() -> None:
    assert count(["I", " see", " STOP"], thought("I see"), shown="I see") == 2
