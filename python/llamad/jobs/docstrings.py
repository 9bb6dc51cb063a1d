"""What a docstring in Google's style says: a summary, and a line or more on each parameter."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from textwrap import dedent

_SECTION = re.compile(r"(Args|Arguments|Attributes):\s*")
_ENTRY = re.compile(r"\*{0,2}(?P<name>\w+)\s*(\([^)]*\))?\s*:\s*(?P<text>.*)")


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring, taken apart.

    Attributes:
        summary: its first paragraph, in one line; "" where there is none.
        entries: what stands under "Args:" or "Attributes:", by name.
    """

    summary: str
    entries: dict[str, str]


def docstring_of(thing: object) -> Docstring:
    """Read the docstring of a function or class; inherited ones do not count."""
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    summary = _joined(re.split(r"\n\s*\n", text, maxsplit=1)[0].splitlines())
    return Docstring("" if _SECTION.match(summary) else summary, _entries(text.splitlines()))


def _entries(lines: list[str]) -> dict[str, str]:
    """The entries of the first section: each begins at its indentation and goes on at deeper ones."""
    start = next((index for index, line in enumerate(lines) if _SECTION.fullmatch(line)), len(lines))
    section = []
    for line in lines[start + 1 :]:
        if line and not line[0].isspace():
            break
        section.append(line)
    entries: dict[str, list[str]] = {}
    texts: list[str] = []
    for line in dedent("\n".join(section)).splitlines():
        if found := _ENTRY.fullmatch(line):
            texts = entries.setdefault(found["name"], [])
            line = found["text"]  # noqa: PLW2901 - what is left of it
        texts.append(line)
    return {name: _joined(texts) for name, texts in entries.items()}


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines if line.strip())
