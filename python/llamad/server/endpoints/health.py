"""`GET /healthz` and `GET /health`: whether the process is alive, and whether requests are welcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ModelLoadingError
from ..exchange import ALIVE_PATH
from ..routing import Route, json_response

if TYPE_CHECKING:
    from blacksheep import Request, Response

    from ..state import ServerState

_OK = b'{"status":"ok"}'


class HealthEndpoint:
    """Liveness, and readiness under llama-server's name for it; the monitor tells both on its own port."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the rows of this family."""
        return [
            Route("GET", ALIVE_PATH, self.healthz),
            Route("GET", "/health", self.health),
            Route("GET", "/v1/health", self.health),
        ]

    async def healthz(self, _: Request) -> Response:
        """Say that the process is alive and its event loop turns."""
        return json_response(200, _OK)

    async def health(self, _: Request) -> Response:
        """Say that requests are welcome, or by an error why not; while draining no request gets here."""
        if not self._state.ready:
            raise ModelLoadingError("the models to preload are still loading; try again later")
        return json_response(200, _OK)
