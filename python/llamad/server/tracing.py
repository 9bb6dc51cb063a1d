"""OpenTelemetry: one span for each request that asks a model, sent over OTLP.

The standard variables decide: an endpoint (`OTEL_EXPORTER_OTLP_ENDPOINT` or
`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) turns it on, `OTEL_SDK_DISABLED=true` or `OTEL_TRACES_EXPORTER=none`
keeps it off, and the SDK reads all others itself. While it is off, nothing of OpenTelemetry is imported.

A request's spans are made when it is over, of what the engine and the `Exchange` have measured by then, so
that nothing is spent on them while it runs.
"""

from __future__ import annotations

import importlib.metadata
import logging
import threading
import time
from typing import TYPE_CHECKING

from .access_log import outcome_of, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

    from .exchange import Exchange

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_OURS = "http/protobuf"

_OPERATIONS = {
    "chat/completions": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "rerank": "rerank",
    "reranking": "rerank",
}
"""The paths that ask a model, and what the GenAI conventions call it; they have no word for reranking."""

_QUOTING = ("opentelemetry.baggage", "opentelemetry.trace")
"""Loggers that quote a client's headers in their warnings."""

_CLOSE_S = 3.0
"""For the last spans to leave; a collector that is away must not hold up the end."""

_logger = logging.getLogger("llamad.server")


def make_tracing(environ: Mapping[str, str]) -> Tracing | None:
    """Return what sends traces to where the environment says; None where it says nothing, or cannot be."""
    if not any(environ.get(name) for name in _ENDPOINTS):
        return None
    disabled = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if disabled or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    if other := [environ[name] for name in _PROTOCOLS if environ.get(name) not in {None, "", _OURS}]:
        _logger.warning("no traces are sent: only the OTLP protocol %s is spoken, not %s", _OURS, other[-1])
        return None
    try:
        return Tracing()
    except ImportError as error:
        # The variables may well be set for everything on a machine: they are no reason not to serve.
        _logger.warning("no traces are sent (%s): pip install 'llamad[tracing]'", error)
        return None


class Tracing:
    """Sends each request that is over to a collector, from a thread of its own."""

    def __init__(self) -> None:
        """Start; all that can be configured comes from the environment."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        for name in _QUOTING:
            logging.getLogger(name).setLevel(logging.ERROR)
        self._provider = _provider()
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("llamad", importlib.metadata.version("llamad"))

    def record(self, exchange: Exchange) -> None:
        """Make the spans of a request that is over, and note in it which trace they belong to."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context  # noqa: PLC0415

        operation = _operation(exchange.path)
        if operation is None:
            return
        now, now_ns = time.perf_counter(), time.time_ns()

        def at(clock: float) -> int:
            return now_ns - round((now - clock) * 1e9)

        span = self._tracer.start_span(
            _name(exchange, operation),
            context=_parent(exchange.headers),
            kind=SpanKind.SERVER,
            attributes=_attributes(exchange, operation),
            start_time=at(exchange.started),
        )
        exchange.trace_id = format(span.get_span_context().trace_id, "032x")
        if span.is_recording():
            outcome = outcome_of(exchange)
            if outcome not in {"ok", "length"}:
                told = exchange.error
                span.set_attribute("error.type", outcome if told is None else told.code)
                # By convention a client's mistake is no error of the server's span.
                if outcome in {"error", "timeout", "stopped"}:
                    span.set_status(Status(StatusCode.ERROR, None if told is None else told.code))
            inside = set_span_in_context(span)
            for name, start, end, attributes in _phases(exchange):
                phase = self._tracer.start_span(name, inside, start_time=at(start), attributes=attributes)
                phase.end(at(end))
        span.end(now_ns)

    def close(self) -> None:
        """Send what has not been sent, for at most a few seconds; blocks."""
        # A thread that may be left behind: the exporter tries a collector that is away again and again.
        closing = threading.Thread(target=self._provider.shutdown, name="llamad-tracing", daemon=True)
        closing.start()
        closing.join(_CLOSE_S)
        if closing.is_alive():
            _logger.warning("the last traces could not be sent within %g s", _CLOSE_S)


def _provider() -> TracerProvider:
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    resource = Resource.create({SERVICE_VERSION: importlib.metadata.version("llamad")})
    # The SDK's own name for what has not been named; a name from the environment stays.
    if str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "llamad"}))
    return TracerProvider(resource=resource)


def _name(exchange: Exchange, operation: str) -> str:
    """Return the span's name; one with a model that there is none of would be one of endlessly many."""
    unknown = exchange.error is not None and exchange.error.code == "model_not_found"
    return operation if exchange.model is None or unknown else f"{operation} {printable(exchange.model)}"


def _operation(path: str) -> str | None:
    return _OPERATIONS.get(path.removeprefix("/v1").removeprefix("/"))


def _parent(headers: Mapping[bytes, bytes]) -> Context:
    from opentelemetry.propagate import extract  # noqa: PLC0415

    return extract({name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()})


def _attributes(exchange: Exchange, operation: str) -> dict[str, AttributeValue]:
    """Return the attributes of the GenAI and the HTTP conventions; never what was asked or answered."""
    usage = exchange.usage
    known: dict[str, AttributeValue | None] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "llamad",
        "gen_ai.request.model": None if exchange.model is None else printable(exchange.model),
        "gen_ai.request.stream": exchange.streamed or None,
        "gen_ai.usage.input_tokens": None if usage is None else usage.prompt_tokens,
        "gen_ai.usage.output_tokens": None if usage is None else usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": None if usage is None else usage.cached_tokens,
        "gen_ai.response.finish_reasons": exchange.finish_reasons or None,
        "gen_ai.response.time_to_first_chunk": exchange.ttft_s if exchange.streamed else None,
        "http.request.method": exchange.method,
        "http.route": exchange.path,
        "http.response.status_code": exchange.status or None,
        "llamad.request.id": exchange.request_id,
        "llamad.key.name": exchange.key_name,
    }
    return {name: value for name, value in known.items() if value is not None}


def _phases(exchange: Exchange) -> list[tuple[str, float, float, dict[str, AttributeValue]]]:
    """Return name, start and end of what the engine did, and what it counted."""
    timings, usage, start = exchange.timings, exchange.usage, exchange.submitted
    if timings is None or usage is None or start is None:
        return []
    computed = usage.prompt_tokens - usage.cached_tokens
    phases: list[tuple[str, float, dict[str, AttributeValue]]] = [
        ("queue", timings.queue_s, {}),
        ("prefill", timings.prefill_s, {"llamad.prefill.tokens": computed}),
        ("decode", timings.decode_s, {"gen_ai.usage.output_tokens": usage.completion_tokens}),
    ]
    spans = []
    for name, duration, attributes in phases:
        spans.append((name, start, start + duration, attributes))
        start += duration
    return spans
