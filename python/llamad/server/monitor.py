"""The second port: is the process alive, is it ready, what has it done, and what is it doing?

Looking never loads a model, and waits for none: only the engines that are there are asked, for figures that
they leave where anybody may read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from blacksheep import Content, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from . import health, profiling
from .metrics import metrics_text
from .routing import Route, json_response, make_application

if TYPE_CHECKING:
    from blacksheep import Application, Request

    from .state import ServerState


class Monitor:
    """The handlers of the monitor's routes."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            Route("GET", "/healthz", self.healthz),
            Route("GET", "/readyz", self.readyz),
            Route("GET", "/metrics", self.metrics),
            Route("GET", "/debug/slots", self.slots),
            *profiling.Profiling().routes(),
        ]

    async def healthz(self, _: Request) -> Response:
        """Say whether the process is alive."""
        return health.healthz(self._state)

    async def readyz(self, _: Request) -> Response:
        """Say whether new requests are welcome."""
        return health.readyz(self._state)

    async def metrics(self, _: Request) -> Response:
        """Return all metrics in Prometheus' text format."""
        return Response(200, None, Content(CONTENT_TYPE_LATEST.encode(), metrics_text(self._state)))

    async def slots(self, _: Request) -> Response:
        """Tell what each slot of each loaded model is doing. Counts only: an engine keeps no texts."""
        models = self._state.models
        told: list[dict[str, Any]] = [
            {"model": model, **_queue(engine.stats()), "slots": engine.slots()}
            for model, engine in models.engines().items()
        ]
        told += [
            {"model": model, **_queue(embedder.stats()), "slots": []}
            for model, embedder in models.embedders().items()
        ]
        return json_response(200, orjson.dumps({"models": sorted(told, key=lambda one: one["model"])}))


def _queue(stats: dict[str, Any]) -> dict[str, Any]:
    return {key: stats[key] for key in ("running", "waiting", "busy_s")}


def make_monitor(state: ServerState) -> Application:
    """Build the monitor. Its own requests are neither counted nor logged."""
    return make_application(Monitor(state).routes())
