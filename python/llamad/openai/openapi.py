"""The OpenAPI document: requests from the tables that parse them, answers from `response_schemas`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from ..fields import Boolean, Field, Nested, Schema, object_schema
from . import chat_request, completion_request, embeddings, rerank, token_requests
from .field_help import field_help
from .response_schemas import RESPONSE_SCHEMAS

_GENERATION = (
    "Fields that llamad does not know are ignored. The answer begins only once the request is accepted, "
    "so that whatever is wrong with it is told by a status."
)

STATUSES: Mapping[int, str] = {
    400: "The request cannot be honoured; `param` names the field.",
    401: "The server asks for an API key.",
    403: "The API key is not for this, or it takes an admin key.",
    404: "There is no model of this name.",
    408: "The request's own time-out has passed, or its body stopped coming.",
    409: "Requests use the model, or it is being loaded.",
    413: "The body is larger than the server allows.",
    415: "The body is not declared as JSON, or is compressed.",
    429: "The queue is full, or the API key is over a limit; `retry-after` says when to try again.",
    500: "Something went wrong inside; the server's log says what.",
    503: "The model is still loading or never fits into memory, the server is shutting down, or the wait "
    "for a slot took too long.",
}
"""What each status of an error means."""

_OF_BODIES = (400, 408, 413, 415)
_OF_MODELS = (404, 500, 503)
_ALWAYS = (500, 503)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API.

    Attributes:
        method: of HTTP.
        path: with its parameters in braces.
        summary: a few words.
        response: name of the answer's schema in `RESPONSE_SCHEMAS`; "" where the answer is no JSON.
        errors: statuses besides 200.
        endpoint: what `field_help` knows the request's fields by.
        fields: the request's; empty where it has no body.
        about: what else there is to know.
        query: parameters that the query may have; what they mean is in `field_help`.
        example: a body that works.
        streams: whether the answer may be server-sent events.
        media_type: of an answer that is no JSON.
    """

    method: str
    path: str
    summary: str
    response: str
    errors: Sequence[int]
    endpoint: str = ""
    fields: Sequence[Field] = ()
    about: str = ""
    query: Sequence[Field] = ()
    example: Mapping[str, Any] | None = None
    streams: bool = False
    media_type: str = "application/json"

    @property
    def tag(self) -> str:
        """The group it belongs to."""
        return "OpenAI" if self.path.startswith("/v1/") else "llamad"


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        "/v1/chat/completions",
        "Answer a conversation",
        "ChatCompletion",
        (*_OF_BODIES, 429, *_OF_MODELS),
        endpoint="chat",
        fields=chat_request.ALL_FIELDS,
        about=_GENERATION,
        example={"model": "…", "messages": [{"role": "user", "content": "What is the capital of Japan?"}]},
        streams=True,
    ),
    Operation(
        "POST",
        "/v1/completions",
        "Continue texts",
        "Completion",
        (*_OF_BODIES, 429, *_OF_MODELS),
        endpoint="completions",
        fields=completion_request.ALL_FIELDS,
        about=_GENERATION,
        example={"model": "…", "prompt": "The capital of Japan is", "max_tokens": 8},
        streams=True,
    ),
    Operation(
        "POST",
        "/v1/embeddings",
        "Embed texts",
        "Embeddings",
        (*_OF_BODIES, 429, *_OF_MODELS),
        endpoint="embeddings",
        fields=embeddings.EMBEDDING_FIELDS,
        about="Vectors have length 1. Fields that llamad does not know are ignored.",
        example={"model": "…", "input": ["How warm is it?", "The temperature is 20 °C."]},
    ),
    Operation(
        "POST",
        "/v1/rerank",
        "Rank documents",
        "Ranking",
        (*_OF_BODIES, 429, *_OF_MODELS),
        endpoint="rerank",
        fields=rerank.RERANK_FIELDS,
        about="As Jina and Cohere have it: the best document first.",
        example={"model": "…", "query": "How warm is it?", "documents": ["It is 20 °C.", "It is noon."]},
    ),
    Operation("GET", "/v1/models", "List the models", "Models", _ALWAYS),
    Operation("GET", "/v1/models/{id}", "Describe a model", "Model", _OF_MODELS),
    Operation(
        "POST",
        "/v1/models/{id}/load",
        "Load a model",
        "Model",
        (403, 429, *_OF_MODELS),
        about="For operators: it takes an admin key or, where there are no keys, a client on this machine.",
    ),
    Operation(
        "POST",
        "/v1/models/{id}/unload",
        "Unload a model",
        "Model",
        (400, 403, 409, *_OF_MODELS),
        endpoint="unload",
        about="For operators, like loading. The next request loads it again.",
        query=(Field("force", Boolean(), "force"),),
    ),
    Operation(
        "POST",
        "/tokenize",
        "Turn text into tokens",
        "Tokens",
        (*_OF_BODIES, *_OF_MODELS),
        endpoint="tokenize",
        fields=token_requests.TOKENIZE_FIELDS,
        about="`content` (llama-server's) or `prompt` (vLLM's, answered with `count` and `max_model_len`) is "
        "required; `model` is where the server has several.",
        example={"content": "Hello world", "with_pieces": True},
    ),
    Operation(
        "POST",
        "/detokenize",
        "Turn tokens into text",
        "Text",
        (*_OF_BODIES, *_OF_MODELS),
        endpoint="detokenize",
        fields=token_requests.DETOKENIZE_FIELDS,
        example={"tokens": [19556, 905]},
    ),
    Operation(
        "POST",
        "/apply-template",
        "Render a conversation",
        "Prompt",
        (*_OF_BODIES, *_OF_MODELS),
        endpoint="chat",
        fields=token_requests.TEMPLATE_FIELDS,
        example={"messages": [{"role": "user", "content": "Hello"}]},
    ),
    Operation(
        "GET",
        "/tokenizer_info",
        "Describe the tokenizer",
        "Tokenizer",
        (400, *_OF_MODELS),
        endpoint="tokenizer",
        about="`model` is required where the server has several.",
        query=(token_requests.MODEL_FIELD,),
    ),
    Operation("GET", "/health", "Are requests welcome?", "Health", _ALWAYS),
    Operation("GET", "/readyz", "Are requests welcome?", "Health", _ALWAYS),
    Operation("GET", "/healthz", "Is the process alive, and does no engine hang?", "Health", _ALWAYS),
    Operation("GET", "/openapi.json", "This description", "", _ALWAYS),
    Operation("GET", "/docs", "This description, as a page", "", _ALWAYS, media_type="text/html"),
)
"""Every operation; what also answers under another path is in `docs/api.md`."""


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "llamad",
            "version": metadata.version("llamad"),
            "description": "OpenAI's API over GGUF models. Every answer has `x-request-id`, the request's "
            "own if it has a sane one, and `openai-processing-ms`.",
        },
        "paths": paths,
        "components": {"schemas": RESPONSE_SCHEMAS, "securitySchemes": {"key": _KEY}},
        "security": [{"key": []}, {}],
    }


def request_schema(endpoint: str, fields: Sequence[Field]) -> Schema:
    """Return the schema of a request, with a description of each field."""
    schema = object_schema(fields)
    _describe(schema, endpoint, fields, "")
    return schema


def _describe(schema: Schema, endpoint: str, fields: Sequence[Field], path: str) -> None:
    for field in fields:
        described = schema["properties"][field.name]
        described["description"] = field_help(endpoint, f"{path}{field.name}")
        if isinstance(field.type, Nested):
            _describe(described, endpoint, field.type.table, f"{path}{field.name}.")


def _operation(operation: Operation) -> dict[str, Any]:
    denials = () if operation.path in _WITHOUT_KEY else (401, 403)
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": _operation_id(operation),
        "tags": [operation.tag],
        "responses": {
            "200": {"description": "The answer.", "content": _content(operation), "headers": _HEADERS},
            **{str(status): _error(status) for status in sorted({*operation.errors, *denials})},
        },
    }
    if not denials:
        described["security"] = []
    if operation.about:
        described["description"] = operation.about
    if parameters := _parameters(operation):
        described["parameters"] = parameters
    if operation.fields:
        body: dict[str, Any] = {"schema": request_schema(operation.endpoint, operation.fields)}
        if operation.example is not None:
            body["example"] = operation.example
        described["requestBody"] = {"required": True, "content": {"application/json": body}}
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if "{id}" in operation.path:
        schema = {"type": "string", "minLength": 1}
        named = {"name": "id", "in": "path", "required": True, "schema": schema}
        parameters.append(named | {"description": field_help(operation.endpoint, "model")})
    for field in operation.query:
        named = {"name": field.name, "in": "query", "required": field.required, "schema": field.type.schema()}
        parameters.append(named | {"description": field_help(operation.endpoint, field.name)})
    return parameters


def _content(operation: Operation) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{operation.response}"} if operation.response else {}
    content: dict[str, Any] = {operation.media_type: {"schema": schema}}
    if operation.streams:
        content["text/event-stream; charset=utf-8"] = {"schema": {"type": "string"}}
    return content


def _error(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {
        "description": STATUSES[status],
        "content": {"application/json": {"schema": schema}},
        "headers": _HEADERS,
    }


def _operation_id(operation: Operation) -> str:
    words = operation.path.removeprefix("/v1").strip("/").replace("{id}", "one")
    return f"{operation.method.lower()}_" + "".join(c if c.isalnum() else "_" for c in words)


_WITHOUT_KEY = {"/health", "/healthz", "/readyz", "/openapi.json", "/docs"}

_KEY = {"type": "http", "scheme": "bearer", "description": "An API key, where the server asks for one."}

_HEADERS = {
    "x-request-id": {"description": "The request's id.", "schema": {"type": "string"}},
    "openai-processing-ms": {"description": "Until the answer began.", "schema": {"type": "string"}},
}
