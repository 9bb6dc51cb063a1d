"""What is wrong with a body is answered before anything else happens; every answer has its headers."""

from __future__ import annotations

import asyncio
import re

import pytest

from .harness import CHAT, chat_body, on_loop, raw_request, serving
from .test_errors import answer_to, error_of

PATHS = (CHAT, "/v1/completions", "/tokenize", "/detokenize", "/apply-template")
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "complaint", "param"),
    [
        (b"", "empty", None),
        (b"\xef\xbb\xbf{}", "byte order mark", None),
        (b'{"model":"\xff"}', "not valid UTF-8", None),
        (b'{"model":NaN}', "NaN", None),
        (b'{"model":"\\ud800"}', "surrogate", None),
        (b'{"model":"a","model":"b"}', "given twice", "model"),
        (b'{"x":' + b"[" * 200 + b"]" * 200 + b"}", "levels deep", None),
        (b"{}{}", "after document", None),
        (b"[]", "must be a JSON object", None),
    ],
)
@on_loop
async def test_each_flaw_has_its_own_answer(
    path: str, body: bytes, complaint: str, param: str | None
) -> None:
    async with serving() as served:
        response = await served.client.post(path, content=body, headers=JSON)
        assert response.status_code == 400
        told = error_of(response)
        assert complaint in told["message"]
        assert (told["code"], told["param"]) == ("invalid_request", param)


@on_loop
async def test_half_a_body_is_answered() -> None:
    """The client keeps its connection open and sends nothing more."""
    async with serving(read_timeout_s=0.05) as served:
        request = raw_request(b'{"model":').replace(b"content-length: 9", b"content-length: 100")
        answer = await answer_to(served, request)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body_timeout" in answer
        assert b"after 9 bytes" in answer
        assert b"connection: close" in answer.lower()
        # Without a body, which might be late too.
        assert (await served.client.get("/v1/models")).status_code == 200


@on_loop
async def test_half_a_chunked_body_is_answered() -> None:
    async with serving(read_timeout_s=0.05) as served:
        head = raw_request(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
        answer = await answer_to(served, head + b"5\r\nhello\r\n")
        assert answer.startswith(b"HTTP/1.1 408 ")


@on_loop
async def test_a_slow_body_that_goes_on_is_read() -> None:
    """Each piece comes within the limit; the whole may take as long as it likes."""
    body = b'{"content":"' + b"x" * 8 + b'"}'
    async with serving(read_timeout_s=5) as served:
        reader, writer = await asyncio.open_connection(*served.address)
        head = raw_request(b"", "connection: close").replace(
            b"content-length: 0", b"content-length: %d" % len(body)
        )
        writer.write(head.replace(CHAT.encode(), b"/tokenize"))
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.001)
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 ")


@on_loop
async def test_headers_are_on_every_answer() -> None:
    async with serving(max_body_bytes=1000) as served:
        post = served.client.post
        answers = [
            (200, await served.post()),
            (200, await served.post(stream=True)),
            (200, await served.client.get("/docs")),
            (400, await post(CHAT, json={})),
            (404, await served.client.get("/nothing")),
            (405, await served.client.get(CHAT)),
            (413, await post(CHAT, content=b"x" * 2000, headers=JSON)),
            (415, await post(CHAT, content=b"{}", headers={"content-type": "text/plain"})),
        ]
        served.state.draining = True
        answers.append((503, await served.post()))
        for status, response in answers:
            assert response.status_code == status
            assert re.fullmatch(r"req-[0-9a-f]{24}", response.headers["x-request-id"])
            assert re.fullmatch(r"\d+", response.headers["openai-processing-ms"])


@on_loop
async def test_processing_time_ends_where_the_answer_begins() -> None:
    async with serving() as served:
        served.models.get_gate = asyncio.Event()
        answer = asyncio.create_task(served.client.post(CHAT, json=chat_body()))
        await served.models.getting.wait()
        await asyncio.sleep(0.05)
        served.models.get_gate.set()
        assert int((await answer).headers["openai-processing-ms"]) >= 45


@pytest.mark.parametrize("path", ["/health", "/v1/health"])
@on_loop
async def test_health_says_whether_requests_are_welcome(path: str) -> None:
    async with serving() as served:
        response = await served.client.get(path)
        assert response.status_code == 503
        assert error_of(response)["code"] == "model_loading"
        served.state.ready = True
        response = await served.client.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        served.state.draining = True
        response = await served.client.get(path)
        assert response.status_code == 503
        assert error_of(response)["code"] == "server_stopping"


@on_loop
async def test_the_description_and_its_page_are_served() -> None:
    async with serving() as served:
        document = await served.client.get("/openapi.json")
        assert document.headers["content-type"] == "application/json"
        assert document.json()["openapi"].startswith("3.1")
        page = await served.client.get("/docs")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "/v1/chat/completions" in page.text


@on_loop
async def test_paths_without_the_prefix() -> None:
    async with serving() as served:
        assert (await served.client.get("/models")).json() == (await served.client.get("/v1/models")).json()
        assert (await served.client.get("/models/tiny")).json()["id"] == "tiny"
        assert (await served.client.post("/chat/completions", json=chat_body())).status_code == 200
