"""The monitor: what it says, and that looking on neither loads anything nor loses a count."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from llamad.errors import QueueFullError
from llamad.server.loop_watch import watch
from prometheus_client.parser import text_string_to_metric_families

from .fakes import FakeEngine
from .harness import monitoring, on_loop, serving, until

MODEL = ("model_name", "tiny")


async def scrape(monitor: httpx.AsyncClient) -> dict[Any, float]:
    response = await monitor.get("/metrics")
    assert response.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


@on_loop
async def test_counts_of_the_server() -> None:
    async with serving() as served, monitoring(served.state) as monitor:
        await served.post()
        await served.post(n=0)
        served.state.slow_readers["stalled"] += 1
        samples = await scrape(monitor)
        assert samples["llamad_http_requests_total", ("status", "200")] == 1
        assert samples["llamad_http_requests_total", ("status", "400")] == 1
        assert samples[("llamad_http_requests_live",)] == 0
        assert samples["llamad_slow_readers_total", ("reason", "stalled")] == 1
        assert samples["llamad_slow_readers_total", ("reason", "unread")] == 0
        assert samples[("llamad_ready",)] == 0
        assert ("process_resident_memory_bytes",) in samples
        assert served.models.loads == 1


@on_loop
async def test_counts_of_an_engine() -> None:
    async with serving() as served, monitoring(served.state) as monitor:
        samples = await scrape(monitor)
        assert samples["llamad_generation_tokens_total", MODEL] == 7
        assert samples["llamad_num_requests_running", MODEL] == 3
        assert samples["llamad_requests_rejected_total", MODEL] == 5
        assert samples["llamad_kv_cache_usage_perc", MODEL] == 0.25
        outcomes = {"stop": 4, "length": 4, "abort": 4, "timeout": 1, "queue_timeout": 2, "error": 1}
        for reason, count in outcomes.items():
            assert samples["llamad_request_success_total", ("finished_reason", reason), MODEL] == count
        for name in ("num_preemptions", "prefix_cache_hits", "prefix_cache_evictions"):
            assert samples[f"llamad_{name}_total", MODEL] == 7
        for name in ("bytes", "disk_bytes", "entries"):
            assert samples[f"llamad_prefix_cache_{name}", MODEL] == 7
        assert samples["llamad_model_state", MODEL, ("state", "loaded")] == 1
        assert samples["llamad_model_state", MODEL, ("state", "unloaded")] == 0
        assert served.models.loads == 0


@on_loop
async def test_buckets_hold_those_below_them() -> None:
    async with serving() as served, monitoring(served.state) as monitor:
        samples = await scrape(monitor)
        name = "llamad_time_to_first_token_seconds"
        assert samples[f"{name}_bucket", ("le", "0.1"), MODEL] == 2
        assert samples[f"{name}_bucket", ("le", "1.0"), MODEL] == 5
        assert samples[f"{name}_bucket", ("le", "+Inf"), MODEL] == 9
        assert samples[f"{name}_count", MODEL] == 9
        assert samples[f"{name}_sum", MODEL] == 6.5


@on_loop
async def test_counts_outlive_the_engine() -> None:
    async with serving() as served, monitoring(served.state) as monitor:
        before = await scrape(monitor)
        del served.models.served["tiny"]
        unloading = await scrape(monitor)  # it is not served any more, and not closed yet
        served.engine.closed = True
        gone = await scrape(monitor)
        served.models.served["tiny"] = FakeEngine()
        again = await scrape(monitor)
        for key, count in before.items():
            if MODEL in key and key[0].endswith(("_total", "_bucket", "_count", "_sum")):
                assert (unloading[key], gone[key], again[key]) == (count, count, 2 * count)
        assert ("llamad_num_requests_running", MODEL) not in gone


@on_loop
async def test_a_loop_that_is_watched_tells_of_its_lag() -> None:
    async with serving() as served, monitoring(served.state) as monitor:
        watching = asyncio.create_task(watch(served.state))

        async def seen() -> bool:
            return (await scrape(monitor))[("llamad_event_loop_lag_seconds_count",)] >= 2

        await until(seen)
        watching.cancel()


@on_loop
async def test_an_engine_that_hangs_fails_the_health_check() -> None:
    async with serving() as served, monitoring(served.state) as monitor:
        served.engine.busy_s = served.state.stall_timeout_s
        for client in (served.client, monitor):
            healthy = await client.get("/healthz")
            assert (healthy.status_code, healthy.json()) == (200, {"status": "ok"})
        served.engine.busy_s += 1.23
        told = await monitor.get("/healthz")
        assert told.status_code == 503
        assert told.json() == {"status": "stalled", "models": {"tiny": 121.2}}
        public = await served.client.get("/healthz")
        assert (public.status_code, public.json()["error"]["code"]) == (503, "engine_stalled")
        assert "tiny" not in public.text  # which models there are is not for everybody


@on_loop
async def test_readiness_follows_the_state_on_both_ports() -> None:
    async with serving() as served, monitoring(served.state) as monitor:
        for client, ready in ((served.client, "ok"), (monitor, "ready")):
            served.state.ready = served.state.draining = False
            assert (await client.get("/readyz")).status_code == 503
            served.state.ready = True
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()) == (200, {"status": ready})
            served.state.draining = True
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/healthz")).status_code == 200
        assert (await monitor.get("/nothing")).status_code == 404


@on_loop
async def test_slots_are_told_for_each_model() -> None:
    async with serving() as served, monitoring(served.state) as monitor:
        told = (await monitor.get("/debug/slots")).json()
        assert told == {
            "models": [
                {"model": "tiny", "running": 3, "waiting": 7, "busy_s": 0.0, "slots": served.engine.slots()}
            ]
        }


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/debug/slots"])
@on_loop
async def test_a_full_queue_keeps_nobody_from_looking(path: str) -> None:
    engine = FakeEngine(submit_error=QueueFullError("full"))
    async with serving(engine) as served, monitoring(served.state) as monitor:
        assert (await served.post()).status_code == 429
        assert (await monitor.get(path)).status_code in {200, 503}
        assert served.models.loads == 1
