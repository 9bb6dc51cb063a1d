"""The API: its endpoints put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import elsewhere
from .edge import Edge
from .endpoints.chat import ChatEndpoint
from .endpoints.completions import CompletionsEndpoint
from .endpoints.docs import DocsEndpoint
from .endpoints.embeddings import EmbeddingsEndpoint
from .endpoints.health import HealthEndpoint
from .endpoints.models import ModelsEndpoint
from .endpoints.tokens import TokensEndpoint
from .routing import make_application

if TYPE_CHECKING:
    from blacksheep import Application

    from .routing import Route
    from .state import ServerState

_FAMILIES = (
    HealthEndpoint,
    ModelsEndpoint,
    ChatEndpoint,
    CompletionsEndpoint,
    EmbeddingsEndpoint,
    TokensEndpoint,
    DocsEndpoint,
)


def api_routes(state: ServerState) -> list[Route]:
    """Return the rows of all families."""
    return [route for family in _FAMILIES for route in family(state).routes()]


def make_api(state: ServerState) -> tuple[Application, Edge]:
    """Build the API; returns the application, to be started, and the ASGI callable to serve."""
    application = make_application(api_routes(state), elsewhere.hint)
    return application, Edge(application, state)
