"""`POST /v1/rerank`, as Jina and Cohere have it: what a request may say, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from ..fields import Boolean, Field, Integer, Schema, String, mismatch, parse_fields
from .body import note_unknown, parse_object

if TYPE_CHECKING:
    from ..embeddings import Ranking

MAX_DOCUMENTS = 2048
"""Most documents of one request: as many as one for embeddings may have inputs."""


@dataclass(frozen=True, slots=True)
class Documents:
    """A list of texts; each is a string, or an object with its `text`."""

    def parse(self, path: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_DOCUMENTS:
            raise mismatch(path, f"a list of 1 to {MAX_DOCUMENTS} documents", value)
        return tuple(_text(f"{path}[{index}]", item) for index, item in enumerate(value))

    def schema(self) -> Schema:
        text = {"type": "string"}
        held = {"type": "object", "properties": {"text": text}, "required": ["text"]}
        items = {"anyOf": [text, held]}
        return {"type": "array", "items": items, "minItems": 1, "maxItems": MAX_DOCUMENTS}


def _text(path: str, value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("text")
        path += ".text"
    if not isinstance(value, str):
        raise mismatch(path, "a string", value)
    return value


RERANK_FIELDS = (
    Field("model", String(), "model", required=True),
    Field("query", String(), "query", required=True),
    Field("documents", Documents(), "documents", required=True),
    Field("top_n", Integer(1), "top_n"),
    Field("return_documents", Boolean(), "return_documents"),
    Field("user", String()),
)
"""`POST /v1/rerank`."""

_NAMES = frozenset(field.name for field in RERANK_FIELDS)


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """A request for a ranking that has been checked.

    Attributes:
        model: id of the model.
        query: what the documents are to answer.
        documents: at least one.
        top_n: how many of the best to return; None returns all.
        return_documents: whether the results repeat the documents.
    """

    model: str
    query: str
    documents: tuple[str, ...]
    top_n: int | None = None
    return_documents: bool = False


def parse_rerank(body: bytes) -> RerankRequest:
    """Parse and check the body of a request for a ranking.

    Raises:
        RequestError: the body is not a JSON object.
        ParameterError: a field is missing, has the wrong type or lies outside its range.
    """
    parsed = parse_object(body)
    values = parse_fields(RERANK_FIELDS, parsed)
    note_unknown(parsed, _NAMES)
    return RerankRequest(**values)


def ranking(request: RerankRequest, scored: Ranking) -> bytes:
    """Return the body of the answer: the best document first, of equals the one that came first."""
    order = sorted(range(len(scored.scores)), key=lambda index: -scored.scores[index])
    n_tokens = sum(scored.n_tokens)
    return orjson.dumps(
        {
            "object": "list",
            "model": request.model,
            "results": [_result(request, index, scored.scores[index]) for index in order[: request.top_n]],
            "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        }
    )


def _result(request: RerankRequest, index: int, score: float) -> dict[str, Any]:
    result: dict[str, Any] = {"index": index, "relevance_score": score}
    if request.return_documents:
        result["document"] = {"text": request.documents[index]}
    return result
