"""The tables of docs/api.md against the parsers: every field is there, and becomes what its row says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from llamad.errors import ParameterError
from llamad.fields import Field
from llamad.openai.chat_request import ALL_FIELDS as CHAT_FIELDS
from llamad.openai.chat_request import parse_chat
from llamad.openai.completion_request import ALL_FIELDS as COMPLETION_FIELDS
from llamad.openai.completion_request import parse_completion
from llamad.openai.embeddings import EMBEDDING_FIELDS, parse_embedding
from llamad.openai.rerank import RERANK_FIELDS, parse_rerank

_PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint with a table: its parser, its fields, and a request that says only what it must."""

    parse: Callable[[bytes], Any]
    fields: tuple[Field, ...]
    least: dict[str, Any]


ENDPOINTS = {
    "Chat completions": Endpoint(
        partial(parse_chat, trust_template=True),
        CHAT_FIELDS,
        {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]},
    ),
    "Completions": Endpoint(parse_completion, COMPLETION_FIELDS, {"model": "tiny", "prompt": "Hello"}),
    "Embeddings": Endpoint(parse_embedding, EMBEDDING_FIELDS, {"model": "tiny", "input": "Hello"}),
    "Reranking": Endpoint(
        parse_rerank, RERANK_FIELDS, {"model": "tiny", "query": "Hello", "documents": ["Hello"]}
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; `example` and `refused` are what it adds to a request."""

    heading: str
    field: str
    becomes: str
    example: dict[str, Any]
    refused: dict[str, Any]


def rows_of(heading: str) -> list[Row]:
    section = re.split(rf"^## {heading}\n", _PAGE.read_text(), flags=re.MULTILINE)[1].split("\n## ")[0]
    rows = []
    for line in section.splitlines():
        cells = [cell.strip().strip("`") for cell in line.split("|")[1:-1]]
        if len(cells) == 5 and cells[0] not in {"field", "---"}:
            example, refused = (fragment(cell) for cell in cells[2:4])
            rows.append(Row(heading, cells[0], cells[1], example, refused))
    return rows


def fragment(cell: str) -> dict[str, Any]:
    return {} if cell == "null" else dict(orjson.loads("{" + cell.replace("&#124;", "|") + "}"))


ROWS = [row for heading in ENDPOINTS for row in rows_of(heading)]


@pytest.mark.parametrize("heading", ENDPOINTS)
def test_every_field_has_its_row(heading: str) -> None:
    assert [row.field for row in rows_of(heading)] == [field.name for field in ENDPOINTS[heading].fields]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.heading}: {row.field}")
def test_a_field_becomes_what_its_row_says(row: Row) -> None:
    endpoint = ENDPOINTS[row.heading]

    def parse(added: dict[str, Any]) -> Any:
        return endpoint.parse(orjson.dumps(endpoint.least | added))

    with pytest.raises(ParameterError) as caught:
        parse(row.refused)
    assert caught.value.param is not None
    assert re.match(rf"{row.field}\b", caught.value.param)

    assert row.becomes in {"honoured", "ignored", "refused"}
    without = {name: value for name, value in row.example.items() if name != row.field}
    changes_something = parse(row.example) != parse(without)
    assert changes_something == (row.becomes == "honoured")
    if row.becomes == "refused":
        assert "not supported" in str(caught.value)
