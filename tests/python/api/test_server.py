"""Routes besides the chat, request ids, the access log and the monitor."""

from __future__ import annotations

import logging
import re
import socket

import pytest
from llamad.errors import SettingsError
from llamad.server.listener import Listener
from prometheus_client.parser import text_string_to_metric_families

from .harness import CHAT, chat_body, monitoring, on_loop, serving


@on_loop
async def test_models() -> None:
    model = {
        "id": "tiny",
        "object": "model",
        "created": 1700000000,
        "owned_by": "llamad",
        "size_bytes": 1 << 20,
        "state": "loaded",
        "architecture": "llama",
        "parameters": 1000,
        "quantization": "Q4_1",
        "context_length": 2048,
        "training_context_length": 4096,
        "capabilities": ["completion", "chat", "tools", "infill"],
    }
    async with serving() as served:
        listed = await served.client.get("/v1/models")
        assert listed.json() == {"object": "list", "data": [model]}
        assert (await served.client.get("/v1/models/tiny")).json() == model
        assert served.models.loads == 0


@on_loop
async def test_healthz() -> None:
    async with serving() as served:
        response = await served.client.get("/healthz")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("given", ["abc-123", "A.b:c_d", "x" * 128])
@on_loop
async def test_sane_request_id_comes_back(given: str) -> None:
    async with serving() as served:
        for path in ("/healthz", "/nothing"):
            response = await served.client.get(path, headers={"x-request-id": given})
            assert response.headers["x-request-id"] == given


@on_loop
async def test_other_request_ids_are_replaced() -> None:
    async with serving() as served:
        ids = set()
        for given in ("", "two words", "x" * 129, "<script>", "é"):
            headers = {b"x-request-id": given.encode()}
            response = await served.client.post(CHAT, json=chat_body(stream=True), headers=headers)
            ids.add(response.headers["x-request-id"])
        assert len(ids) == 5
        assert all(re.fullmatch(r"req-[0-9a-f]{24}", request_id) for request_id in ids)


def test_access_log(caplog: pytest.LogCaptureFixture) -> None:
    @on_loop
    async def scenario() -> None:
        async with serving() as served:
            headers = {"x-request-id": "one"}
            await served.client.post(CHAT, json=chat_body(stream=True), headers=headers)
            await served.client.post(CHAT, json=chat_body(), headers=headers | {"x-request-id": "two"})
            await served.client.post(CHAT, json={}, headers=headers | {"x-request-id": "three"})

    caplog.set_level(logging.INFO, "llamad.access")
    scenario()
    lines = [record.getMessage() for record in caplog.records if record.name == "llamad.access"]
    served = r"POST /v1/chat/completions model=tiny status=200 tokens=5\+2 ttft_ms=[\d.]+ duration_ms=[\d.]+"
    assert re.fullmatch(f"one {served}", lines[0])
    assert re.fullmatch(f"two {served}", lines[1])
    assert re.match(r"three POST /v1/chat/completions model=- status=400 tokens=- ttft_ms=-", lines[2])


def test_log_lines_cannot_be_forged(caplog: pytest.LogCaptureFixture) -> None:
    @on_loop
    async def scenario() -> None:
        async with serving() as served:
            await served.client.get("/x%0Aforged")
            await served.post(model="x\nforged")

    caplog.set_level(logging.INFO)
    scenario()
    assert not [record for record in caplog.records if "\n" in record.getMessage()]


@on_loop
async def test_readiness_follows_the_state() -> None:
    async with serving() as served, monitoring(served.state) as monitor:
        assert (await monitor.get("/healthz")).status_code == 200
        assert (await monitor.get("/readyz")).status_code == 503
        served.state.ready = True
        assert (await monitor.get("/readyz")).status_code == 200
        served.state.draining = True
        assert (await monitor.get("/readyz")).status_code == 503
        assert (await monitor.get("/nothing")).status_code == 404


@on_loop
async def test_metrics() -> None:
    async with serving() as served, monitoring(served.state) as monitor:
        await served.post()
        await served.post(n=0)
        served.state.slow_readers["stalled"] += 1
        response = await monitor.get("/metrics")
        families = {family.name: family for family in text_string_to_metric_families(response.text)}
        samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families.values()
            for sample in family.samples
        }
        model = ("model", "tiny")
        assert samples["llamad_http_requests_total", ("status", "200")] == 1
        assert samples["llamad_http_requests_total", ("status", "400")] == 1
        assert samples[("llamad_http_requests_live",)] == 0
        assert samples["llamad_generated_tokens_total", model] == 7
        assert samples["llamad_requests_running", model] == 3
        outcomes = {"stop": 4, "length": 4, "cancelled": 4, "timeout": 1, "queue_timeout": 2, "error": 1}
        for reason, count in outcomes.items():
            assert samples["llamad_requests_finished_total", model, ("reason", reason)] == count
        assert samples["llamad_slow_readers_total", ("reason", "stalled")] == 1
        assert samples["llamad_slow_readers_total", ("reason", "unread")] == 0
        for name in ("preemptions", "copied_tokens", "restored_tokens", "prefix_cache_evictions"):
            assert samples[f"llamad_{name}_total", model] == 7
        for name in ("bytes", "disk_bytes", "entries"):
            assert samples[f"llamad_prefix_cache_{name}", model] == 7
        assert ("process_resident_memory_bytes",) in samples
        assert served.models.loads == 1


@on_loop
async def test_new_requests_are_refused_while_draining() -> None:
    async with serving() as served:
        served.state.draining = True
        response = await served.post()
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "server_stopping"
        assert int(response.headers["retry-after"]) >= 1
        assert response.headers["connection"] == "close"
        assert "x-request-id" in response.headers
        assert (await served.client.get("/healthz")).status_code == 200


def test_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        async def app(*_: object) -> None: ...

        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1 port {port}"):
            Listener(app, "127.0.0.1", port)
