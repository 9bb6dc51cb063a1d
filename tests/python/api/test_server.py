"""Routes besides the chat, request ids and the monitor."""

from __future__ import annotations

import re
import socket

import pytest
from llamad.errors import SettingsError
from llamad.server.listener import Listener

from .harness import CHAT, chat_body, on_loop, serving


@on_loop
async def test_models() -> None:
    model = {
        "id": "tiny",
        "object": "model",
        "created": 1700000000,
        "owned_by": "llamad",
        "size_bytes": 1 << 20,
        "state": "loaded",
        "progress": None,
        "error": None,
        "aliases": [],
        "pinned": False,
        "memory_bytes": None,
        "architecture": "llama",
        "parameters": 1000,
        "quantization": "Q4_1",
        "context_length": 2048,
        "training_context_length": 4096,
        "capabilities": ["completion", "chat", "tools", "infill"],
        "devices": [{"name": "CPU", "layers": 3, "bytes": 1 << 20}],
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


@on_loop
async def test_head_is_get_without_the_body() -> None:
    async with serving() as served:
        for path, status in (("/healthz", 200), ("/v1/models", 200), ("/nothing", 404), (CHAT, 405)):
            for _ in range(2):  # nothing of a body is left on the connection
                response = await served.client.head(path)
                assert (response.status_code, response.content) == (status, b"")
            if status == 200:
                asked = await served.client.get(path)
                assert response.headers["content-length"] == asked.headers["content-length"]


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

        with pytest.raises(SettingsError) as caught:
            Listener(app, "127.0.0.1", port)
        place = f"127.0.0.1 port {port} (--host, --port)"
        assert str(caught.value) == f"cannot listen on {place}: Address already in use"
