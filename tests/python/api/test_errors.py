"""Every error is OpenAI's envelope with the right status."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import orjson
import pytest
from llamad import errors

from .fakes import WAIT_S, FakeEngine, queue_full
from .harness import CHAT, Served, chat_body, on_loop, raw_request, serving


def error_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    return dict(error)


@pytest.mark.parametrize(
    ("error", "status", "code", "param"),
    [
        (errors.ParameterError("bad", param="top_k"), 400, "invalid_request", "top_k"),
        (errors.ParameterError("empty", param="prompt"), 400, "invalid_request", "messages"),
        (errors.ContextLengthError("too long"), 400, "context_length_exceeded", "messages"),
        (
            errors.ContextLengthError("too long", param="prompt"),
            400,
            "context_length_exceeded",
            "messages",
        ),
        (errors.TemplateError("no"), 400, "invalid_request", "messages"),
        (errors.GrammarError("no"), 400, "invalid_request", "grammar"),
        (errors.EngineClosedError("closed"), 503, "server_stopping", None),
        (errors.GenerationError("secret"), 500, "generation_failed", None),
        (RuntimeError("secret"), 500, "internal_error", None),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
@on_loop
async def test_error_of_the_preparation(
    error: Exception, status: int, code: str, param: str | None, stream: bool
) -> None:
    async with serving(FakeEngine(prepare_error=error)) as served:
        response = await served.post(stream=stream)
        assert response.status_code == status
        told = error_of(response)
        assert (told["code"], told["param"]) == (code, param)
        assert "secret" not in response.text


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"guided_choice": ["a"]}, "guided_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"grammar": "root ::= x"}, "grammar"),
    ],
)
@on_loop
async def test_a_grammar_that_is_refused_is_blamed_on_its_field(given: dict[str, Any], param: str) -> None:
    async with serving(FakeEngine(prepare_error=errors.GrammarError("no"))) as served:
        assert error_of(await served.post(**given))["param"] == param


@on_loop
async def test_full_queue() -> None:
    async with serving(FakeEngine(submit_error=queue_full())) as served:
        response = await served.post(stream=True)
        assert response.status_code == 429
        assert int(response.headers["retry-after"]) >= 1
        assert error_of(response)["type"] == "rate_limit_error"


@pytest.mark.parametrize("stream", [True, False])
@on_loop
async def test_more_choices_than_the_engine_ever_takes(stream: bool) -> None:
    refusal = errors.ParameterError("n must be at most 12", param="n")
    async with serving(FakeEngine(submit_error=refusal)) as served:
        response = await served.post(n=13, stream=stream)
        assert response.status_code == 400
        assert error_of(response)["param"] == "n"


@on_loop
async def test_unknown_model_lists_what_there_is() -> None:
    async with serving() as served:
        for response in (await served.post(model="huge"), await served.client.get("/v1/models/huge")):
            assert response.status_code == 404
            told = error_of(response)
            assert (told["code"], told["param"]) == ("model_not_found", "model")
            assert "'huge'" in told["message"]
            assert "tiny" in told["message"]
        told = error_of(await served.post(model="x" * 10_000))
        assert len(told["message"]) < 200


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.ModelLoadingError("still loading"), 503, "model_loading"),
        (errors.InvalidModelError("/secret/path.gguf is no GGUF"), 500, "model_load_failed"),
        (errors.ModelLoadError("secret"), 500, "model_load_failed"),
    ],
)
@on_loop
async def test_error_of_the_load(error: Exception, status: int, code: str) -> None:
    async with serving() as served:
        served.models.get_error = error
        response = await served.post()
        assert response.status_code == status
        assert error_of(response)["code"] == code
        assert ("retry-after" in response.headers) == (status == 503)
        assert "secret" not in response.text


def test_internal_error_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    @on_loop
    async def scenario() -> None:
        async with serving(FakeEngine(prepare_error=RuntimeError("secret"))) as served:
            response = await served.client.post(CHAT, json=chat_body(), headers={"x-request-id": "find-me"})
            assert response.status_code == 500

    scenario()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "find-me" in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "secret"


@pytest.mark.parametrize(
    ("method", "path", "hint"),
    [
        ("GET", "/v1/nothing", ""),
        ("GET", "/", "; GET /docs describes this API"),
        ("GET", "/metrics", "; it is on the monitor's port (--monitor-port)"),
        ("POST", "/completion", "; POST /v1/completions continues texts"),
        ("POST", "/v1/responses", "; POST /v1/chat/completions answers conversations"),
        ("POST", "/api/chat", "; clients of Ollama's API need OpenAI's, which begins with /v1"),
        ("POST", f"/v1{CHAT}", "; the base URL ends in /v1 already"),
    ],
)
@on_loop
async def test_an_unknown_route_says_what_other_servers_clients_want(
    method: str, path: str, hint: str
) -> None:
    async with serving() as served:
        response = await served.client.request(method, path)
        assert response.status_code == 404
        assert error_of(response)["message"] == f"there is no {method} {path}{hint}"


@on_loop
async def test_unknown_route_and_method() -> None:
    async with serving() as served:
        response = await served.client.get("/v1/nothing")
        assert response.status_code == 404
        assert error_of(response)["code"] == "unknown_route"
        for method, path, allowed in (
            ("GET", CHAT, "POST"),
            ("DELETE", "/v1/models", "GET"),
            ("POST", "/v1/models/tiny", "GET"),
        ):
            response = await served.client.request(method, path)
            assert response.status_code == 405
            assert response.headers["allow"] == allowed
            assert error_of(response)["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("headers", "body", "status", "param"),
    [
        ({}, b"", 400, None),
        ({}, b"{", 400, None),
        ({}, b"\xff", 400, None),
        ({}, b'{"model":"tiny","messages":[{"role":"user"}],"n":0}', 400, "n"),
        ({}, b'{"model":"tiny"}', 400, "messages"),
        ({"content-type": "text/plain"}, b"{}", 415, None),
        ({"content-type": "application/x-www-form-urlencoded"}, b"{}", 415, None),
        ({"content-encoding": "gzip"}, b"\x1f\x8b", 415, None),
    ],
)
@on_loop
async def test_bad_body(headers: dict[str, str], body: bytes, status: int, param: str | None) -> None:
    async with serving() as served:
        declared = {"content-type": "application/json"} | headers
        response = await served.client.post(CHAT, content=body, headers=declared)
        assert response.status_code == status
        assert error_of(response)["param"] == param
        assert (await served.post()).status_code == 200


@on_loop
async def test_json_under_other_names() -> None:
    async with serving() as served:
        for declared in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"):
            response = await served.client.post(
                CHAT, content=orjson.dumps(chat_body()), headers={"content-type": declared}
            )
            assert response.status_code == 200


@on_loop
async def test_body_at_the_limit() -> None:
    body = orjson.dumps(chat_body())
    async with serving(max_body_bytes=len(body)) as served:
        headers = {"content-type": "application/json"}
        assert (await served.client.post(CHAT, content=body, headers=headers)).status_code == 200
        response = await served.client.post(CHAT, content=body + b" ", headers=headers)
        assert response.status_code == 413
        assert error_of(response)["code"] == "request_too_large"
        assert response.headers["connection"] == "close"


async def answer_to(served: Served, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*served.address)
    writer.write(request)
    async with asyncio.timeout(WAIT_S):
        answer = await reader.read()
    writer.close()
    return answer


@on_loop
async def test_endless_chunked_body_is_answered() -> None:
    """No length is declared and the end never comes: the limit still holds."""
    async with serving(max_body_bytes=1000) as served:
        head = raw_request(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
        answer = await answer_to(served, head + b"7d0\r\n" + b"x" * 2000 + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"request_too_large" in answer


@on_loop
async def test_client_that_asks_first_need_not_send() -> None:
    async with serving(max_body_bytes=1000) as served:
        head = raw_request(b"", "expect: 100-continue").replace(b"content-length: 0", b"content-length: 2000")
        answer = await answer_to(served, head)
        assert answer.startswith(b"HTTP/1.1 413 ")
