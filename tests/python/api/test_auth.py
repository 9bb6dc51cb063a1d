"""API keys over HTTP: who is let in, to what, and how often."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from llamad.settings import Settings

from .fakes import FakeEngine
from .harness import CHAT, chat_body, events_of, on_loop, raw_request, serving
from .keyed import KEYED, SECRET, ask, bearer, keys_in
from .test_errors import error_of

if TYPE_CHECKING:
    from llamad.models.entries import ModelEntry

LOAD, UNLOAD = "/v1/models/tiny/load", "/v1/models/tiny/unload"


@pytest.mark.parametrize(
    "headers",
    [
        bearer(SECRET),
        bearer("sk-other"),
        {"authorization": f"bearer   {SECRET}"},
        {"x-api-key": SECRET},
        {"api-key": SECRET},
        {"authorization": "Basic Zm9v", "x-api-key": SECRET},
    ],
)
@on_loop
async def test_with_a_key(headers: dict[str, str]) -> None:
    async with serving(settings=KEYED) as served:
        response = await served.client.post(CHAT, json=chat_body(), headers=headers)
        assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("sk-wrong"),
        bearer(f"{SECRET}x"),
        bearer(SECRET[:-1]),
        {"authorization": SECRET},
        {"authorization": f"Basic {SECRET}"},
        {"x-api-key": ""},
        {"x-api-key": "key-1"},
        {"authorization": "Bearer sk-wrong", "x-api-key": SECRET},
    ],
)
@on_loop
async def test_without_one(headers: dict[str, str]) -> None:
    async with serving(settings=KEYED) as served:
        for method, path in (("POST", CHAT), ("GET", "/v1/models"), ("GET", "/nothing"), ("OPTIONS", CHAT)):
            response = await served.client.request(method, path, json=chat_body(), headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert "x-request-id" in response.headers
            told = error_of(response)
            assert (told["code"], told["type"]) == ("invalid_api_key", "invalid_request_error")
            for value in headers.values():
                assert not value or value.split()[-1] not in response.text
        assert served.models.loads == 0


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/openapi.json"])
@on_loop
async def test_open_paths_need_none(path: str) -> None:
    async with serving(settings=KEYED) as served:
        assert (await served.client.get(path)).status_code == 200
        assert (await served.client.get(path, headers=bearer("sk-wrong"))).status_code == 200


@pytest.mark.parametrize(
    "path", ["/healthz/../v1/models", "//healthz", "/healthz/", "/v1/models?/healthz", "/HEALTHZ"]
)
@on_loop
async def test_nothing_else_is_open(path: str) -> None:
    async with serving(settings=KEYED) as served:
        reader, writer = await asyncio.open_connection(*served.address)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        assert b" 401 " in await reader.readline()
        writer.close()


@on_loop
async def test_a_body_that_nobody_wants_is_not_waited_for() -> None:
    """The answer does not wait for the body, and the rest of it does not keep the connection."""
    async with serving(settings=KEYED) as served:
        reader, writer = await asyncio.open_connection(*served.address)
        writer.write(raw_request(b"{").replace(b"content-length: 1", b"content-length: 1000000"))
        assert b" 401 " in await reader.readline()
        await reader.read()
        writer.close()


def test_nothing_that_is_logged_shows_a_key(caplog: pytest.LogCaptureFixture) -> None:
    @on_loop
    async def scenario() -> None:
        async with serving(settings=KEYED) as served:
            await ask(served, SECRET)
            await ask(served, "sk-wrong-one")
            await ask(served, SECRET, n=0)

    caplog.set_level(logging.DEBUG)
    scenario()
    assert [record.fields["key"] for record in caplog.records if record.name == "llamad.access"] == [  # type: ignore[attr-defined]
        "key-1",
        None,
        "key-1",
    ]
    for record in caplog.records:
        assert SECRET not in f"{record.getMessage()} {vars(record)}"
        assert "sk-wrong-one" not in f"{record.getMessage()} {vars(record)}"


@on_loop
async def test_key_for_some_models_gets_those_that_have_just_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = keys_in(tmp_path, '[a]\nkey = "sk-a"\nmodels = ["tiny*"]')
    async with serving(settings=settings) as served:
        models, read_entries = served.models, served.models.read_entries

        async def look() -> list[ModelEntry]:
            models.served |= {"tiny-2": FakeEngine(texts=["Hi"]), "big": FakeEngine()}
            return await read_entries()

        monkeypatch.setattr(models, "read_entries", look)
        assert (await ask(served, "sk-a", model="big")).status_code == 403
        models.served = {"tiny": served.engine}
        assert (await ask(served, "sk-a", model="tiny-2")).status_code == 200


def test_models_of_a_key(tmp_path: Path) -> None:
    settings = keys_in(tmp_path, '[a]\nkey = "sk-a"\nmodels = ["tiny*"]\n[b]\nkey = "sk-b"')

    @on_loop
    async def scenario() -> None:
        async with serving(settings=settings, models=("big", "tiny", "tiny-2")) as served:
            get = served.client.get

            async def listed(secret: str) -> list[str]:
                answer = await get("/v1/models", headers=bearer(secret))
                return [model["id"] for model in answer.json()["data"]]

            assert await listed("sk-a") == ["tiny", "tiny-2"]
            assert await listed("sk-b") == ["big", "tiny", "tiny-2"]
            assert (await ask(served, "sk-a")).status_code == 200
            assert (await ask(served, "sk-b", model="big")).status_code == 200
            loads = served.models.loads
            forbidden, absent = (
                await ask(served, "sk-a", model="big"),
                await ask(served, "sk-a", model="huge"),
            )
            for response, name in ((forbidden, "big"), (absent, "huge")):
                assert response.status_code == 403
                told = error_of(response)
                assert (told["code"], told["param"]) == ("model_not_found", "model")
                assert told["message"].replace(name, "?") == error_of(forbidden)["message"].replace(
                    "big", "?"
                )
            assert (await get("/v1/models/big", headers=bearer("sk-a"))).status_code == 403
            assert (await get("/v1/models/tiny", headers=bearer("sk-a"))).status_code == 200
            unknown = await ask(served, "sk-a", model="tiny-9")
            assert unknown.status_code == 404
            assert "big" not in error_of(unknown)["message"]
            for path, body in (
                ("/v1/completions", {"prompt": "a"}),
                ("/v1/embeddings", {"input": "a"}),
                ("/v1/rerank", {"query": "a", "documents": ["b"]}),
                ("/tokenize", {"content": "a"}),
                ("/detokenize", {"tokens": [1]}),
                ("/apply-template", {"messages": [{"role": "user", "content": "a"}]}),
            ):
                response = await served.client.post(
                    path, json={"model": "big"} | body, headers=bearer("sk-a")
                )
                assert response.status_code == 403, path
            response = await get("/tokenizer_info", params={"model": "big"}, headers=bearer("sk-a"))
            assert response.status_code == 403
            assert served.models.loads == loads

    scenario()


@on_loop
async def test_operators_need_an_admin_key() -> None:
    async with serving(settings=Settings(api_key=("sk-a",), admin_key="sk-root")) as served:
        post = served.client.post
        for path in (LOAD, UNLOAD):
            assert (await post(path)).status_code == 401
            refused = await post(path, headers=bearer("sk-a"))
            assert (refused.status_code, error_of(refused)["code"]) == (403, "admin_key_required")
            assert (await post(path, headers=bearer("sk-root"))).status_code == 200
        assert (await ask(served, "sk-root")).status_code == 200


@on_loop
async def test_without_keys_operators_are_on_this_machine() -> None:
    async with serving() as served:
        assert (await served.client.post(LOAD)).status_code == 200
        for header in ("x-forwarded-for", "forwarded", "x-real-ip"):
            refused = await served.client.post(LOAD, headers={header: "127.0.0.1"})
            assert (refused.status_code, error_of(refused)["code"]) == (403, "admin_key_required")
        assert (
            await served.client.post(CHAT, json=chat_body(), headers={"x-real-ip": "10.0.0.1"})
        ).status_code == 200


@on_loop
async def test_a_stream_ends_as_ever() -> None:
    async with serving(settings=KEYED) as served:
        response = await ask(served, SECRET, stream=True)
        assert events_of(response.text)[-1] == "[DONE]"


def test_a_server_for_everybody_says_so(caplog: pytest.LogCaptureFixture) -> None:
    @on_loop
    async def scenario() -> None:
        async with serving(settings=Settings(host="0.0.0.0")) as served:
            assert (await served.post()).status_code == 200

    scenario()
    assert "whoever reaches 0.0.0.0 may use this server" in caplog.text
