"""What a function's docstring tells of it and of its parameters."""

from __future__ import annotations

import pytest
from llamad.jobs.docstrings import docstring_of


@pytest.mark.parametrize(
    ("text", "summary", "entries"),
    [
        (None, "", {}),
        ("One line.", "One line.", {}),
        ("One.\n\nTwo.", "One.", {}),
        ("\n    First\n    line.\n\n    More.\n    ", "First line.", {}),
        ("\n    Args:\n        a: one\n    ", "", {"a": "one"}),
        ("F.\n\nArguments:\n  a (int): one\n    more\n\n  b: two: three\nReturns:\n  c: no", "F.",
         {"a": "one more", "b": "two: three"}),
        ("F.\n\nArgs:\n    *args: rest\n    **kw: more", "F.", {"args": "rest", "kw": "more"}),
        ("F.\n\nArgs:\n", "F.", {}),
    ],
)  # fmt: skip
def test_docstrings_are_read(text: str | None, summary: str, entries: dict[str, str]) -> None:
    def documented() -> None: ...

    documented.__doc__ = text
    found = docstring_of(documented)
    assert (found.summary, found.entries) == (summary, entries)
