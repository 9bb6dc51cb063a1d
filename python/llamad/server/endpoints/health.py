"""`GET /healthz`, `/readyz` and `/health`: whether the process is alive, and whether requests are welcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ModelLoadingError
from ...openai.errors import WireError
from .. import health
from ..exchange import ALIVE_PATH
from ..limits import RefusedError
from ..routing import Route, json_response

if TYPE_CHECKING:
    from blacksheep import Request, Response

    from ..state import ServerState


class HealthEndpoint:
    """Liveness, and readiness, under llama-server's name for it as well. The monitor tells more of both."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the rows of this family."""
        return [
            Route("GET", ALIVE_PATH, self.healthz),
            Route("GET", "/readyz", self.readyz),
            Route("GET", "/health", self.readyz),
            Route("GET", "/v1/health", self.readyz),
        ]

    async def healthz(self, _: Request) -> Response:
        """Say that the process is alive and no engine hangs; whose does is told on the monitor alone."""
        hanging = health.stalled(self._state)
        if hanging:
            message = f"an engine has got nothing done for {max(hanging.values()):.0f} s"
            raise RefusedError(WireError(503, "server_error", "engine_stalled", message))
        return json_response(200, health.OK)

    async def readyz(self, _: Request) -> Response:
        """Say that requests are welcome, or by an error why not; while draining no request gets here."""
        if not self._state.ready:
            raise ModelLoadingError("the models to preload are still loading; try again later")
        return json_response(200, health.OK)
