"""`/metrics`: what the server, its models and their engines have done.

Everything is read when it is asked for, from counters that are kept anyway: nothing is loaded, no engine is
stopped, no lock is taken that an engine takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest

from .. import __version__, _engine
from ..models.entries import ModelState
from .health import is_ready
from .metrics_page import Page
from .metrics_tables import BATCH_ROWS, COUNTERS, GAUGES, HISTOGRAMS, OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..models.statistics import Counters
    from .metrics_ledger import Totals
    from .metrics_page import Labels
    from .state import ServerState

_PROCESS = CollectorRegistry()
ProcessCollector(registry=_PROCESS)


def metrics_text(state: ServerState) -> bytes:
    """Return all metrics as of now, in Prometheus' text format."""
    page = Page()
    _server(page, state)
    state.follow_engines()
    totals = state.ledger.totals()
    _engine_counters(page, totals)
    _engine_histograms(page, totals)
    _engine_gauges(page, state)
    _models(page, state)
    return page.text() + generate_latest(_PROCESS)


def _server(page: Page, state: ServerState) -> None:
    build = {"version": __version__, "llama_cpp": _engine.llama_cpp_version}
    page.gauge("llamad_build_info", "What is running.", [(build, 1)])
    page.gauge("llamad_ready", "Whether new requests are welcome.", [({}, is_ready(state))])
    answered = sorted(state.answered.items())
    page.counter(
        "llamad_http_requests",
        "HTTP requests answered.",
        (({"status": str(status)}, count) for status, count in answered),
    )
    page.gauge("llamad_http_requests_live", "HTTP requests being answered.", [({}, len(state.live))])
    page.counter(
        "llamad_slow_readers",
        "Connections closed because the client did not read.",
        (({"reason": reason}, state.slow_readers[reason]) for reason in ("unread", "stalled")),
    )
    page.counter(
        "llamad_refused_connections",
        "Connections answered and closed before there was a request, by reason.",
        (({"reason": code}, count) for code, count in sorted(state.refused_connections.items())),
    )
    page.histogram(
        "llamad_event_loop_lag_seconds",
        "How late the event loop's timers run.",
        [({}, state.loop_lag.histogram)],
    )


def _engine_counters(page: Page, totals: Mapping[str, Totals]) -> None:
    for key, name, text, beside in COUNTERS:
        counts = (
            (model, total.counters[key])
            for model, total in totals.items()
            # An embedding model has no slots, samples nothing and looks up nothing.
            if {key, beside or key} <= total.counters.keys()
        )
        page.counter(f"llamad_{name}", text, _by_model(counts))
    page.counter("llamad_request_success", "Requests ended, by reason.", _ended(totals))


def _ended(totals: Mapping[str, Totals]) -> Iterator[tuple[Labels, float]]:
    for model, total in totals.items():
        counts = total.counters
        for key, reason in OUTCOMES:
            if key in counts:
                timeouts = counts["timeouts"] + counts["queue_timeouts"] if reason == "error" else 0
                yield {"model_name": model, "finished_reason": reason}, max(0, counts[key] - timeouts)


def _engine_histograms(page: Page, totals: Mapping[str, Totals]) -> None:
    for key, name, text, _ in HISTOGRAMS:
        page.histogram(
            f"llamad_{name}",
            text,
            [
                ({"model_name": model}, total.histograms[key])
                for model, total in totals.items()
                if key in total.histograms
            ],
        )
    page.histogram(
        "llamad_batch_rows",
        "Tokens computed in one call of the model.",
        [
            ({"model_name": model, "phase": phase}, total.histograms[key])
            for model, total in totals.items()
            for key, phase in BATCH_ROWS
            if key in total.histograms
        ],
    )


def _engine_gauges(page: Page, state: ServerState) -> None:
    now = {model: engine.stats() for model, engine in state.engines().items()}
    for key, name, text, _ in GAUGES:
        values = ((model, stats[key]) for model, stats in now.items() if key in stats)
        page.gauge(f"llamad_{name}", text, _by_model(values))
    usage = (
        (model, stats["kv_cells_used"] / stats["kv_cells"])
        for model, stats in now.items()
        if "kv_cells" in stats
    )
    text = "Part of the KV cache that running requests use; 1 is all."
    page.gauge("llamad_kv_cache_usage_perc", text, _by_model(usage))


def _models(page: Page, state: ServerState) -> None:
    entries = state.models.entries()
    page.gauge(
        "llamad_model_state",
        "1 for the state that a model is in, 0 for the others.",
        (
            ({"model_name": entry.id, "state": name}, entry.state == name)
            for entry in entries
            for name in get_args(ModelState)
        ),
    )
    statistics = state.models.statistics()
    page.gauge(
        "llamad_model_memory_bytes",
        "Memory that a loaded model takes.",
        _by_model(statistics.memory_by_model.items()),
    )
    page.gauge(
        "llamad_model_requests_waiting",
        "Requests that wait for a model to be loaded.",
        _by_model(statistics.waiting.items()),
    )
    for name, text, pools in (
        ("memory_budget_bytes", "Memory that models may take.", statistics.memory_budget),
        ("memory_used_bytes", "Memory that loaded models take.", statistics.memory_used),
    ):
        page.gauge(f"llamad_{name}", text, (({"pool": pool}, size) for pool, size in pools.items()))
    _manager(page, statistics.counters)


def _manager(page: Page, counters: Counters) -> None:
    counts: Mapping[str, float]
    for name, text, counts in (
        ("model_loads", "Loads that succeeded.", counters.loads),
        ("model_load_failures", "Loads that failed.", counters.load_failures),
        ("model_load_seconds", "Time that loads took.", counters.load_seconds),
        ("model_evictions", "Unloads that made room for another model.", counters.evictions),
        ("model_unloads", "Unloads for any other reason.", counters.unloads),
    ):
        page.counter(f"llamad_{name}", text, _by_model(counts.items()))


def _by_model(values: Iterable[tuple[str, float]]) -> Iterator[tuple[Labels, float]]:
    return (({"model_name": model}, value) for model, value in values)
