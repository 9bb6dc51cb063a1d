"""Leases and their requests; loading and unloading by operators; what holds where a request says nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llamad import errors

from .fakes import FakeEngine, delta, end
from .harness import CHAT, chat_body, events_of, on_loop, serving, until, wait_for


@on_loop
async def test_a_stream_holds_its_model_to_the_end() -> None:
    engine = FakeEngine(texts=None)
    async with serving(engine) as served:
        asking = asyncio.create_task(served.post(stream=True))
        await wait_for(engine.submitted)
        (stream,) = engine.streams
        delta(stream, "Hel")
        assert len(served.models.held) == 1
        end(stream, "stop", completion=1)
        assert events_of((await asking).text)[-1] == "[DONE]"
        await until(lambda: not served.models.held)


@pytest.mark.parametrize("prepare_error", [None, errors.ContextLengthError("too long"), RuntimeError("x")])
@on_loop
async def test_whatever_comes_of_a_request_its_lease_is_given_back(prepare_error: Exception | None) -> None:
    async with serving(FakeEngine(texts=["Hel", "lo"], prepare_error=prepare_error)) as served:
        assert (await served.post()).status_code in {200, 400, 500}
        assert (await served.client.post("/tokenize", json={"content": "x"})).status_code == 200
        assert served.models.loads == 2
        await until(lambda: not served.models.held)


@on_loop
async def test_a_client_that_leaves_gives_its_lease_back() -> None:
    engine = FakeEngine(texts=None)
    async with serving(engine) as served:
        asking = asyncio.create_task(served.post(stream=True))
        await wait_for(engine.submitted)
        asking.cancel()
        await wait_for(engine.cancelled)
        await until(lambda: not served.models.held)


@on_loop
async def test_a_client_that_leaves_while_the_model_loads_holds_none() -> None:
    async with serving() as served:
        served.models.get_gate = asyncio.Event()
        asking = asyncio.create_task(served.post())
        await wait_for(served.models.getting)
        asking.cancel()
        await until(lambda: not served.state.live)
        served.models.get_gate.set()
        assert (await served.post()).status_code == 200
        await until(lambda: not served.models.held)


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
@on_loop
async def test_a_models_own_defaults_hold_where_the_request_says_nothing(path: str) -> None:
    said: dict[str, Any] = {"top_k": 7, "max_tokens": 9}
    async with serving() as served:
        served.models.sampling = {"temperature": 0.25, "top_k": 3, "max_tokens": 5}
        for fields in ({}, said):
            body = chat_body(**fields) if path == CHAT else {"model": "tiny", "prompt": "x", **fields}
            assert (await served.client.post(path, json=body)).status_code == 200
        left_out, given = (prepared.params for prepared in served.engine.prepared)
        assert (left_out.temperature, left_out.top_k, left_out.max_tokens) == (0.25, 3, 5)
        assert (given.temperature, given.top_k, given.max_tokens) == (0.25, 7, 9)


@on_loop
async def test_operators_load_and_unload() -> None:
    async with serving() as served:
        for prefix in ("/v1", ""):
            loaded = await served.client.post(f"{prefix}/models/tiny/load")
            assert (loaded.status_code, loaded.json()["id"]) == (200, "tiny")
            unloaded = await served.client.post(f"{prefix}/models/tiny/unload")
            assert (unloaded.status_code, unloaded.json()["object"]) == (200, "model")
        assert (served.models.loads, served.models.unloads) == (2, 2)
        for action in ("load", "unload"):
            assert (await served.client.post(f"/v1/models/absent/{action}")).status_code == 404
            assert (await served.client.get(f"/v1/models/tiny/{action}")).status_code == 404
        wrong = await served.client.post("/v1/models/tiny/unload?force=1")
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "force")


@on_loop
async def test_a_model_in_use_is_unloaded_only_by_force() -> None:
    engine = FakeEngine(texts=None)
    async with serving(engine) as served:
        asking = asyncio.create_task(served.post())
        await wait_for(engine.submitted)
        refused = await served.client.post("/v1/models/tiny/unload")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "model_busy")
        assert (await served.client.post("/v1/models/tiny/unload?force=true")).status_code == 200
        end(engine.streams[0], "stop")
        assert (await asking).status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.MemoryBudgetError("model 'tiny' needs 9 GiB"), 503, "insufficient_memory"),
        (errors.LoadFailedError("model 'tiny' could not be loaded: no GGUF"), 500, "model_load_failed"),
    ],
)
@on_loop
async def test_what_will_not_mend_itself_is_told_and_not_to_be_retried(
    error: Exception, status: int, code: str
) -> None:
    async with serving() as served:
        served.models.get_error = error
        response = await served.post()
        told = response.json()["error"]
        assert (response.status_code, told["code"], told["message"]) == (status, code, str(error))
        assert response.headers["x-should-retry"] == "false"
