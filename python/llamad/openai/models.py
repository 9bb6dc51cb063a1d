"""The list of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..models.manager import ModelEntry


def model_object(entry: ModelEntry) -> dict[str, Any]:
    """Return one model as OpenAI describes it, with its size and state as extensions."""
    return {
        "id": entry.id,
        "object": "model",
        "created": entry.created,
        "owned_by": "llamad",
        "size_bytes": entry.size_bytes,
        "state": entry.state,
    }


def one_model(entry: ModelEntry) -> bytes:
    """Return the body of `GET /v1/models/{id}`."""
    return orjson.dumps(model_object(entry))


def model_list(entries: Iterable[ModelEntry]) -> bytes:
    """Return the body of `GET /v1/models`."""
    return orjson.dumps({"object": "list", "data": [model_object(entry) for entry in entries]})
