"""How results look: one line in a terminal, a small table in a notebook. All text is escaped there."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .tokens import Usage

_LONGEST_PANEL = 4000
"""Characters of a text that a notebook shows of a single result."""

_CELL = "text-align:left;vertical-align:top;white-space:pre-wrap"


class Counted(Protocol):
    """What every result can tell of itself."""

    @property
    def finish_reason(self) -> str: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def tokens_per_s(self) -> float | None: ...


def cut(text: str, most: int) -> str:
    """Return the beginning of a text, with an ellipsis where something is missing."""
    return text if len(text) <= most else text[: most - 1] + "…"


def facts(result: Counted) -> list[str]:
    """Say in a few words how a generation went."""
    usage, rate = result.usage, result.tokens_per_s
    told = [result.finish_reason, f"{usage.prompt_tokens} + {usage.completion_tokens} tokens"]
    return told if rate is None else [*told, f"{rate:.1f} tok/s"]


def plain(value: Any) -> Any:
    """Return what JSON has in the place of models, also of those in lists and dictionaries."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def panel(parts: Iterable[tuple[str, str]], told: Iterable[str]) -> str:
    """Return HTML of named texts with a line of facts below."""
    rows = "".join(
        f'<tr><th style="{_CELL}">{escape(name)}</th>'
        f'<td style="{_CELL}">{escape(cut(text, _LONGEST_PANEL))}</td></tr>'
        for name, text in parts
    )
    return f"<table>{rows}</table><p><small>{escape(' · '.join(told))}</small></p>"


def grid(header: Sequence[str], rows: Iterable[Sequence[str]], note: str) -> str:
    """Return HTML of a table with a note below."""
    head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in header)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"{table}<p><small>{escape(note)}</small></p>"
