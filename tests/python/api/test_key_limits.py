"""How much one key may use, and what is left of it when keys change."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from llamad.errors import QueueFullError, SettingsError

from .fakes import FakeEngine, delta, end
from .harness import CHAT, chat_body, on_loop, serving, until, wait_for
from .keyed import KEYED, SECRET, ask, bearer, keys_in
from .test_errors import error_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_requests_at_once(tmp_path: Path) -> None:
    settings = keys_in(tmp_path, '[a]\nkey = "sk-a"\nmax_requests = 2\n[b]\nkey = "sk-b"')

    @on_loop
    async def scenario() -> None:
        engine = FakeEngine()
        async with serving(engine, settings=settings) as served:
            running = [asyncio.create_task(ask(served, "sk-a")) for _ in range(2)]
            await until(lambda: len(engine.streams) == 2)
            refused = await ask(served, "sk-a")
            assert refused.status_code == 429
            assert error_of(refused)["code"] == "rate_limit_exceeded"
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["x-ratelimit-limit-requests"] == "2"
            assert refused.headers["x-ratelimit-remaining-requests"] == "0"
            models = await served.client.get("/v1/models", headers=bearer("sk-a"))
            assert models.status_code == 200
            other = asyncio.create_task(ask(served, "sk-b"))
            await until(lambda: len(engine.streams) == 3)
            for stream in engine.streams:
                end(stream, "stop", completion=1)
            for task in (*running, other):
                assert (await task).status_code == 200
            engine.texts = ["Hi"]
            assert (await ask(served, "sk-a")).status_code == 200
            assert (await ask(served, "sk-a", n=0)).status_code == 400
            last = await ask(served, "sk-a")
            assert last.headers["x-ratelimit-remaining-requests"] == "1"

    scenario()


def test_tokens_per_minute(tmp_path: Path) -> None:
    settings = keys_in(tmp_path, '[a]\nkey = "sk-a"\ntokens_per_minute = 600')
    clock = Clock()

    @on_loop
    async def scenario() -> None:
        async with serving(FakeEngine(), settings=settings, clock=clock) as served:

            async def use(tokens: int) -> None:
                served.engine.submitted.clear()
                asked = asyncio.create_task(ask(served, "sk-a"))
                await wait_for(served.engine.submitted)
                end(served.engine.streams[-1], "stop", prompt=5, completion=tokens - 5)
                assert (await asked).json()["usage"]["total_tokens"] == tokens

            await use(300)
            invalid = await ask(served, "sk-a", n=0)
            assert invalid.status_code == 400
            estimate = len(invalid.request.content) / 4
            assert invalid.headers["x-ratelimit-limit-tokens"] == "600"
            assert int(invalid.headers["x-ratelimit-remaining-tokens"]) == int(300 - estimate)
            await use(800)  # 500 more than there were
            refused = await ask(served, "sk-a")
            assert refused.status_code == 429
            assert error_of(refused)["code"] == "rate_limit_exceeded"
            assert refused.headers["x-ratelimit-remaining-tokens"] == "0"
            assert refused.headers["x-ratelimit-reset-tokens"] == "1m50s"
            clock.now += int(refused.headers["retry-after"])
            await use(10)

    scenario()


def test_who_leaves_has_used_what_was_computed_for_it(tmp_path: Path) -> None:
    settings = keys_in(tmp_path, '[a]\nkey = "sk-a"\ntokens_per_minute = 600')
    clock = Clock()

    @on_loop
    async def scenario() -> None:
        async with serving(FakeEngine(), settings=settings, clock=clock) as served:
            async with served.client.stream(
                "POST", CHAT, json=chat_body(stream=True), headers=bearer("sk-a")
            ) as response:
                await wait_for(served.engine.submitted)
                for _ in range(395):
                    delta(served.engine.streams[0], "x")
                await anext(response.aiter_bytes())
            assert await served.state.wait_idle(30)
            assert served.state.answered == {499: 1}
            invalid = await ask(served, "sk-a", n=0)
            left = 600 - 5 - 395 - len(invalid.request.content) / 4
            assert int(invalid.headers["x-ratelimit-remaining-tokens"]) == int(left)

    scenario()


def test_what_fails_has_used_what_was_computed_for_it(tmp_path: Path) -> None:
    settings = keys_in(tmp_path, '[a]\nkey = "sk-a"\ntokens_per_minute = 600')

    @on_loop
    async def scenario() -> None:
        async with serving(FakeEngine(), settings=settings, clock=Clock()) as served:
            asked = asyncio.create_task(ask(served, "sk-a"))
            await wait_for(served.engine.submitted)
            for _ in range(395):
                delta(served.engine.streams[0], "x")
            end(served.engine.streams[0], "error", kind="failed", message="no")
            assert (await asked).status_code == 500
            invalid = await ask(served, "sk-a", n=0)
            left = 600 - 5 - 395 - len(invalid.request.content) / 4
            assert int(invalid.headers["x-ratelimit-remaining-tokens"]) == int(left)

    scenario()


@on_loop
async def test_what_the_engine_does_not_take_has_used_nothing(tmp_path: Path) -> None:
    settings = keys_in(tmp_path, '[a]\nkey = "sk-a"\ntokens_per_minute = 600')
    engine = FakeEngine(submit_error=QueueFullError("256 requests wait already"))
    async with serving(engine, settings=settings, clock=Clock()) as served:
        assert error_of(await ask(served, "sk-a"))["code"] == "queue_full"
        invalid = await ask(served, "sk-a", n=0)
        left = 600 - len(invalid.request.content) / 4
        assert int(invalid.headers["x-ratelimit-remaining-tokens"]) == int(left)


@on_loop
async def test_the_queue_is_shared_by_keys() -> None:
    async with serving(settings=KEYED) as served:
        for secret, user in ((SECRET, None), (SECRET, "me"), ("sk-other", None), (SECRET, None)):
            await ask(served, secret, **({} if user is None else {"user": user}))
        clients = [prepared.options.client for prepared in served.engine.prepared]
        assert clients[0] == clients[3]
        assert len(set(clients)) == 3
        assert SECRET not in "".join(clients)


def test_keys_change_while_requests_run(tmp_path: Path) -> None:
    before = keys_in(tmp_path, '[a]\nkey = "sk-a"\nmax_requests = 2\n[b]\nkey = "sk-b"')

    @on_loop
    async def scenario() -> None:
        engine = FakeEngine()
        async with serving(engine, settings=before) as served:
            running = asyncio.create_task(ask(served, "sk-a"))
            await wait_for(engine.submitted)
            gone = asyncio.create_task(ask(served, "sk-b"))
            await until(lambda: len(engine.streams) == 2)
            served.state.gate.prepare(keys_in(tmp_path, '[a]\nkey = "sk-new"\nmax_requests = 1'))()
            assert (await ask(served, "sk-b")).status_code == 401
            assert (await ask(served, "sk-a")).status_code == 401
            assert (await ask(served, "sk-new")).status_code == 429  # what runs counts for the name
            with pytest.raises(SettingsError, match="holds no key"):
                served.state.gate.prepare(keys_in(tmp_path, ""))
            for stream in engine.streams:
                end(stream, "stop", completion=1)
            assert [(await task).status_code for task in (running, gone)] == [200, 200]
            engine.texts = ["Hi"]
            assert (await ask(served, "sk-new")).status_code == 200

    scenario()
