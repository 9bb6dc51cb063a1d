"""The second port: is the process alive, is it ready, and what has it done?

Looking never loads a model: only the engines that are there are asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blacksheep import Content, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .routing import Route, json_response, make_application

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from blacksheep import Application, Request

    from .state import ServerState

_COUNTERS = {
    "prompt_tokens": "Prompt tokens of requests given a slot, cached ones included.",
    "cached_tokens": "Prompt tokens that did not have to be computed.",
    "copied_tokens": "Cached tokens that were copied from another slot.",
    "restored_tokens": "Cached tokens that were restored from the prefix cache's store.",
    "prefilled_tokens": "Prompt tokens computed, and after a preemption those generated before.",
    "generated_tokens": "Tokens sampled.",
    "preemptions": "Requests that lost their slot and were computed again later.",
    "prefix_cache_evictions": "States that left the prefix cache's memory for want of room.",
    "inputs": "Embeddings and scores computed.",
    "steps": "Steps of the engine that computed something.",
    "decode_calls": "Calls of llama.cpp's decode.",
}
_GAUGES = {
    "requests_running": ("running", "Slots with a request."),
    "requests_waiting": ("waiting", "Requests that wait for a slot."),
    "prefix_cache_bytes": ("prefix_cache_bytes", "Memory of the prefix cache's store."),
    "prefix_cache_disk_bytes": ("prefix_cache_disk_bytes", "Disk space of the prefix cache's store."),
    "prefix_cache_entries": ("prefix_cache_entries", "States in the prefix cache's store."),
}


class _StateCollector(Collector):
    """Reads the server's and the engines' own counters when it is asked, and keeps none."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        answered = CounterMetricFamily("llamad_http_requests", "Requests answered.", labels=["status"])
        for status, count in sorted(self._state.answered.items()):
            answered.add_metric([str(status)], count)
        yield answered
        yield GaugeMetricFamily(
            "llamad_http_requests_live", "Requests being answered.", len(self._state.live)
        )
        slow = CounterMetricFamily(
            "llamad_slow_readers", "Connections closed because the client did not read.", labels=["reason"]
        )
        for reason in ("unread", "stalled"):
            slow.add_metric([reason], self._state.slow_readers[reason])
        yield slow
        models = self._state.models
        stats = {model: engine.stats() for model, engine in models.engines().items()}
        stats |= {model: embedder.stats() for model, embedder in models.embedders().items()}
        for key, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"llamad_{key}", text, labels=["model"])
            for model, values in stats.items():
                if key in values:  # an embedding model has no slots and samples nothing
                    counter.add_metric([model], values[key])
            yield counter
        for name, (key, text) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"llamad_{name}", text, labels=["model"])
            for model, values in stats.items():
                if key in values:
                    gauge.add_metric([model], values[key])
            yield gauge
        yield _finished(stats)


def _finished(stats: Mapping[str, Mapping[str, int]]) -> Metric:
    finished = CounterMetricFamily(
        "llamad_requests_finished", "Requests ended, by reason.", labels=["model", "reason"]
    )
    for model, values in stats.items():
        for reason, count in _by_outcome(values).items():
            finished.add_metric([model, reason], count)
    return finished


def _by_outcome(values: Mapping[str, int]) -> dict[str, int]:
    """Tell time-outs from the other errors, among which the engine counts them too."""
    timeouts, queue_timeouts = values["timeouts"], values.get("queue_timeouts", 0)
    return {
        "stop": values["finished_stop"],
        "length": values.get("finished_length", 0),
        "cancelled": values["finished_cancelled"],
        "timeout": timeouts,
        "queue_timeout": queue_timeouts,
        "error": max(0, values["finished_error"] - timeouts - queue_timeouts),
    }


class Monitor:
    """The handlers of the monitor's routes."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._registry = CollectorRegistry()
        self._registry.register(_StateCollector(state))
        ProcessCollector(registry=self._registry)

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            Route("GET", "/healthz", self.healthz),
            Route("GET", "/readyz", self.readyz),
            Route("GET", "/metrics", self.metrics),
        ]

    async def healthz(self, _: Request) -> Response:
        """Say that the process is alive and its event loop turns."""
        return json_response(200, b'{"status":"ok"}')

    async def readyz(self, _: Request) -> Response:
        """Say whether new requests are welcome: models preloaded, not draining."""
        if self._state.draining:
            return json_response(503, b'{"status":"draining"}')
        if not self._state.ready:
            return json_response(503, b'{"status":"loading"}')
        return json_response(200, b'{"status":"ready"}')

    async def metrics(self, _: Request) -> Response:
        """Return all metrics in Prometheus' text format."""
        return Response(200, None, Content(CONTENT_TYPE_LATEST.encode(), generate_latest(self._registry)))


def make_monitor(state: ServerState) -> Application:
    """Build the monitor. Its own requests are neither counted nor logged."""
    return make_application(Monitor(state).routes())
