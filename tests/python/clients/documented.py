"""The snippets of docs/clients.md, pointed at a server of the tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_PAGE = Path(__file__).resolve().parents[3] / "docs" / "clients.md"
_DOCUMENTED_ROOT = "http://127.0.0.1:8080"


def snippets(heading: str, language: str, server_url: str) -> list[str]:
    """Return the code blocks of a section, with the server's address in them.

    Args:
        heading: title of the section.
        language: of the blocks, as it stands behind the fence.
        server_url: root of the API, to take the place of the documented one.
    """
    sections = re.split(r"^## ", _PAGE.read_text(), flags=re.MULTILINE)
    section = next(text for text in sections if text.startswith(f"{heading}\n"))
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert blocks, f"no {language} in section {heading!r}"
    assert all(_DOCUMENTED_ROOT in block for block in blocks)
    return [block.replace(_DOCUMENTED_ROOT, server_url) for block in blocks]


def run_python(code: str) -> dict[str, Any]:
    """Run a snippet as a script would, and return its variables."""
    variables: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(code, str(_PAGE), "exec", dont_inherit=True), variables)
    return variables
