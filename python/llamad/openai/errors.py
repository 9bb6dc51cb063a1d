"""From the exception tree to OpenAI's error envelope: the one place that knows both.

| exception | status | code |
|---|---|---|
| `ContextLengthError` | 400 | `context_length_exceeded` |
| other `RequestError` | 400 | `invalid_request` |
| `UnknownModelError` | 404 | `model_not_found` |
| `QueueFullError` | 429 | `queue_full` |
| `RequestTimeoutError` | 408 | `request_timeout` |
| `QueueTimeoutError` | 503 | `queue_timeout` |
| `ModelLoadingError` | 503 | `model_loading` |
| `EngineClosedError` | 503 | `server_stopping` |
| `MemoryBudgetError` | 503 | `insufficient_memory` |
| `ModelBusyError` | 409 | `model_busy` |
| `ModelError` | 500 | `model_load_failed` |
| `GenerationError` | 500 | `generation_failed` |
| anything else | 500 | `internal_error` |

What a client did wrong is told in full. Of what went wrong inside, the client learns that it did and
the log learns why.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from .. import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class WireError:
    """An error as the client sees it.

    Attributes:
        status: of HTTP.
        type: a coarse class: OpenAI's `invalid_request_error`, `rate_limit_error` and `server_error`, or
            `timeout_error`.
        code: what went wrong, for programs.
        message: what went wrong, for people.
        param: the field to blame, if one is.
        retry_after: seconds after which the same request may succeed, if it may.
        should_retry: False where OpenAI's clients would try again by the status, and in vain.
    """

    status: int
    type: str
    code: str
    message: str
    param: str | None = None
    retry_after: int | None = None
    should_retry: bool = True

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that go with it, besides those of any JSON document."""
        headers = []
        if self.retry_after is not None:
            headers.append((b"retry-after", b"%d" % self.retry_after))
        if not self.should_retry:
            headers.append((b"x-should-retry", b"false"))
        return headers

    def body(self) -> bytes:
        """Return the JSON envelope."""
        return orjson.dumps(
            {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}
        )


def invalid(status: int, code: str, message: str, param: str | None = None) -> WireError:
    """Return an error that is the client's to mend."""
    return WireError(status, "invalid_request_error", code, message, param)


STOPPING = WireError(
    503, "server_error", "server_stopping", "the server is shutting down; try again later", retry_after=5
)

_CLOSED = replace(
    STOPPING,
    message="the server is shutting down, or an operator has unloaded the model; try again later",
)

_INTERNAL = WireError(500, "server_error", "internal_error", "internal error; the server's log says why")

_BLAMED: dict[type[errors.RequestError], str] = {
    errors.ContextLengthError: "prompt",
    errors.TemplateError: "messages",
    errors.GrammarError: "grammar",
}
"""The field to blame where the error itself does not name one."""


@contextmanager
def blaming(fields: Mapping[str, str]) -> Iterator[None]:
    """Let errors name a request's field where the engine names its own parameter.

    Args:
        fields: parameter of the engine -> field of the request.
    """
    try:
        yield
    except errors.RequestError as error:
        blamed = _blamed(error)
        error.param = fields.get(blamed, blamed) if blamed else None
        raise


@contextmanager
def blaming_count(field: str, n_texts: int) -> Iterator[None]:
    """Let the engine's refusal of so many texts at once name the field that asks for them."""
    try:
        yield
    except errors.ParameterError as error:
        if error.param != "n" or field == "n":
            raise
        message = f"'{field}' asks for {n_texts} texts at once, more than may ever run and wait here"
        raise errors.ParameterError(message, param=field) from None


def _blamed(error: errors.RequestError) -> str | None:
    return error.param or _BLAMED.get(type(error))


def wire_error(error: Exception) -> WireError:
    """Return what a client is told of an exception."""
    message = str(error)
    match error:
        case errors.RequestError():
            exceeded = isinstance(error, errors.ContextLengthError)
            code = "context_length_exceeded" if exceeded else "invalid_request"
            return invalid(400, code, message, _blamed(error))
        case errors.QueueFullError():
            return WireError(429, "rate_limit_error", "queue_full", message, retry_after=1)
        case errors.QueueTimeoutError():
            return WireError(503, "server_error", "queue_timeout", message, retry_after=5)
        case errors.RequestTimeoutError():
            return WireError(408, "timeout_error", "request_timeout", message, should_retry=False)
        case errors.EngineClosedError():
            return _CLOSED
        case errors.GenerationError():
            told = "the generation failed; other requests are not affected"
            return WireError(500, "server_error", "generation_failed", told)
        case _:
            return _of_models(error, message)


def _of_models(error: Exception, message: str) -> WireError:
    match error:
        case errors.UnknownModelError():
            return invalid(404, "model_not_found", message, "model")
        case errors.ModelLoadingError():
            return WireError(503, "server_error", "model_loading", message, retry_after=5)
        case errors.MemoryBudgetError():
            return WireError(503, "server_error", "insufficient_memory", message, should_retry=False)
        case errors.ModelBusyError():
            return invalid(409, "model_busy", message)
        case errors.LoadFailedError():
            return WireError(500, "server_error", "model_load_failed", message, should_retry=False)
        case errors.ModelError():
            told = "the model could not be loaded; the server's log says why"
            return WireError(500, "server_error", "model_load_failed", told)
        case _:
            return _INTERNAL
