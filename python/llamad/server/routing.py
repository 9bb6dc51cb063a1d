"""BlackSheep applications made of a table of routes, whose every error is OpenAI's envelope."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from blacksheep import Application, Content, Request, Response, Router

from ..errors import LlamadError
from ..openai.errors import WireError, invalid, wire_error
from .access_log import CLIENT_GONE
from .disconnect import ClientGoneError
from .exchange import SCOPE_KEY
from .limits import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .asgi import Scope
    from .exchange import Exchange

Handler = Callable[[Request], Awaitable[Response]]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table: `GET`, `/v1/models/{id}` and who answers."""

    method: str
    path: str
    handler: Handler


def make_application(routes: Sequence[Route], hint: Callable[[str], str] = lambda _: "") -> Application:
    """Build an application that also answers unknown paths (404) and methods (405) in the envelope.

    Args:
        routes: what it answers.
        hint: what the error adds for an unknown path.
    """
    router = Router()
    for route in routes:
        router.add(route.method, route.path, _guarded(route.handler))
        if route.method == "GET":  # many a health check asks so; uvicorn leaves out the body
            router.add("HEAD", route.path, _guarded(route.handler))
    methods = sorted({route.method for route in routes})

    async def fallback(request: Request) -> Response:
        path = request.url.path.decode("latin-1")
        allowed = [method for method in methods if router.get_matching_route(method, path)]
        if allowed:
            message = f"{request.method} is not allowed on {path}; allowed: {', '.join(allowed)}"
            response = error_response(invalid(405, "method_not_allowed", message))
            response.add_header(b"allow", ", ".join(allowed).encode())
            return response
        return error_response(
            invalid(404, "unknown_route", f"there is no {request.method} {path}{hint(path)}")
        )

    router.fallback = fallback
    return Application(router=router)


def exchange_of(request: Request) -> Exchange:
    """Return the exchange that a request belongs to."""
    scope = cast("Scope", request.scope)
    return cast("Exchange", scope[SCOPE_KEY])


def json_response(status: int, body: bytes) -> Response:
    """Answer with a JSON document."""
    return Response(status, None, Content(b"application/json", body))


def error_response(error: WireError) -> Response:
    """Answer with an error."""
    response = json_response(error.status, error.body())
    for name, value in error.headers():
        response.add_header(name, value)
    return response


def report(error: Exception, request_id: str) -> WireError:
    """Return what the client is told of an exception; log what it is not told."""
    told = wire_error(error)
    if told.status == 500:
        expected = isinstance(error, LlamadError)
        _logger.error("request %s failed: %s", request_id, error, exc_info=None if expected else error)
    return told


def _note(request: Request, told: WireError) -> None:
    if exchange := cast("Scope", request.scope).get(SCOPE_KEY):
        exchange.error = told


def _guarded(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientGoneError:
            return Response(CLIENT_GONE)
        except RefusedError as refused:
            _note(request, refused.error)
            return error_response(refused.error)
        except Exception as error:  # noqa: BLE001 - the last line of defence; `report` logs it
            exchange = cast("Scope", request.scope).get(SCOPE_KEY)
            told = report(error, exchange.request_id if exchange else "-")
            _note(request, told)
            return error_response(told)

    return guarded
