"""`POST /v1/embeddings`: what a request may say, and the answer."""

from __future__ import annotations

import base64
import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from ..errors import ParameterError
from ..fields import Field, Integer, OneOf, String, parse_fields
from .body import note_unknown, parse_object
from .completion_request import Prompt, PromptValue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..embeddings import Embeddings

EMBEDDING_FIELDS = (
    Field("model", String(), "model", required=True),
    Field("input", Prompt(), "inputs", required=True),
    Field("encoding_format", OneOf(("float", "base64")), "encoding_format"),
    Field("dimensions", Integer(1), "dimensions"),
    # Labels that change nothing: the inputs of all callers share the batches evenly.
    Field("user", String()),
)
"""`POST /v1/embeddings`."""

_NAMES = frozenset(field.name for field in EMBEDDING_FIELDS)


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A request for embeddings that has been checked.

    Attributes:
        model: id of the model.
        inputs: at least one, text or token ids.
        encoding_format: "float", or "base64" of little-endian float32.
        dimensions: how many numbers of each vector to return; None returns all.
    """

    model: str
    inputs: tuple[PromptValue, ...]
    encoding_format: str = "float"
    dimensions: int | None = None


def parse_embedding(body: bytes) -> EmbeddingRequest:
    """Parse and check the body of a request for embeddings.

    Raises:
        RequestError: the body is not a JSON object.
        ParameterError: a field is missing, has the wrong type or lies outside its range.
    """
    parsed = parse_object(body)
    values = parse_fields(EMBEDDING_FIELDS, parsed)
    note_unknown(parsed, _NAMES)
    return EmbeddingRequest(**values)


def check_dimensions(dimensions: int | None, n_embd: int) -> None:
    """Raise a `ParameterError` if a model's vectors have fewer dimensions than are asked for."""
    if dimensions is not None and dimensions > n_embd:
        message = f"'dimensions' must be at most {n_embd}, the model's own, not {dimensions}"
        raise ParameterError(message, param="dimensions")


def embedding_list(request: EmbeddingRequest, embeddings: Embeddings) -> bytes:
    """Return the body of the answer."""
    vectors: Sequence[memoryview[float]] = embeddings.vectors
    if request.dimensions is not None:
        vectors = [shortened(vector, request.dimensions) for vector in vectors]
    encode = _base64 if request.encoding_format == "base64" else memoryview.tolist
    n_tokens = sum(embeddings.n_tokens)
    rest = {"model": request.model, "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens}}
    # One after the other: the encoder holds the interpreter's lock, and nobody should wait for all of them.
    entries = (
        orjson.dumps({"object": "embedding", "index": index, "embedding": encode(vector)})
        for index, vector in enumerate(vectors)
    )
    return b'{"object":"list","data":[' + b",".join(entries) + b"]," + orjson.dumps(rest)[1:]


def shortened(vector: memoryview[float], dimensions: int) -> memoryview[float]:
    """Return a vector's first numbers, scaled to length 1.

    That is how models are meant to be used whose training packs the most into the first numbers
    (Matryoshka embeddings); with others it costs some precision.
    """
    values = vector[:dimensions].tolist()
    length = math.sqrt(math.fsum(value * value for value in values)) or 1.0
    return memoryview(array("f", (value / length for value in values)))


def _base64(vector: memoryview[float]) -> Any:
    return base64.b64encode(vector).decode()
