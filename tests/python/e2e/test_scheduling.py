"""Who goes first, who waits how long, and who may share what has been computed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import openai
import pytest
from llamad import Engine, QueueTimeoutError, RequestOptions, RequestTimeoutError

from tests.python.support.server_process import ONE_THREAD, ServerProcess, serving, wait_until
from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai import AsyncOpenAI

pytestmark = pytest.mark.timeout(300)

HELLO: Any = [{"role": "user", "content": "hello"}]
LONG: Any = [{"role": "user", "content": "count the story of one world and of two and of three " * 4}]
FINISHED = "llamad_request_success_total"


@pytest.fixture(scope="module")
def one_slot(endless_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    flags = ("--n-parallel", "1", "--n-ctx", str(ENDLESS_N_CTX), "--preload-model", "endless", *ONE_THREAD)
    with serving(endless_model.parent, *flags, log_path=log_path) as server:
        yield server


@asynccontextmanager
async def busy(server: ServerProcess, client: AsyncOpenAI) -> AsyncIterator[None]:
    """Keep the only slot busy, so that whatever is asked meanwhile waits."""
    stream = await client.chat.completions.create(
        model="endless", messages=HELLO, stream=True, user="busy", extra_body={"ignore_eos": True}
    )
    async with stream:
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        yield


async def ask(client: AsyncOpenAI, request_id: str = "", max_tokens: int | None = 4, **fields: Any) -> None:
    extra = {"ignore_eos": True} | fields.pop("extra_body", {})
    await client.chat.completions.create(
        model="endless",
        messages=HELLO,
        max_tokens=max_tokens,
        extra_body=extra,
        extra_headers={"x-request-id": request_id},
        **fields,
    )


def in_order(server: ServerProcess, request_ids: set[str]) -> list[str]:
    """Return the ids of requests in the order of their ends, as the log tells it.

    Answers may reach this process in another order, where it is held up.
    """

    def ended() -> list[str]:
        return [one for one in re.findall(r" request_id=(\S+) ", server.log) if one in request_ids]

    wait_until(lambda: len(ended()) == len(request_ids), "a line for each request")
    return ended()


async def until_waiting(server: ServerProcess, count: int) -> None:
    await asyncio.to_thread(
        server.wait_for_metric, "llamad_num_requests_waiting", lambda value: value == count
    )


def test_lower_priority_goes_first(one_slot: ServerProcess) -> None:
    async def scenario() -> None:
        async with one_slot.async_client() as client:
            async with busy(one_slot, client):
                tasks = []
                for priority in (0, 5, -1, 3):
                    asking = ask(client, f"priority{priority}", extra_body={"priority": priority})
                    tasks.append(asyncio.create_task(asking))
                    await until_waiting(one_slot, len(tasks))
            await asyncio.gather(*tasks)

    asyncio.run(scenario())
    expected = [f"priority{priority}" for priority in (-1, 0, 3, 5)]
    assert in_order(one_slot, set(expected)) == expected


def test_many_requests_of_one_user_do_not_hold_up_another(one_slot: ServerProcess) -> None:
    many = [f"many{number}" for number in range(64)]

    async def scenario() -> None:
        async with one_slot.async_client() as client:
            async with busy(one_slot, client):
                tasks = [asyncio.create_task(ask(client, name, 20, user="many")) for name in many]
                await until_waiting(one_slot, 64)
                tasks.append(asyncio.create_task(ask(client, "one", user="one")))
                await until_waiting(one_slot, 65)
            await asyncio.gather(*tasks)

    asyncio.run(scenario())
    assert in_order(one_slot, {*many, "one"}).index("one") <= 1  # last, if first come were first served


@pytest.mark.parametrize("stream", [True, False])
def test_timeout_of_a_request(one_slot: ServerProcess, stream: bool) -> None:
    before = one_slot.metric(FINISHED, finished_reason="timeout")
    asked = one_slot.metric("llamad_http_requests_total")
    client = openai.OpenAI(base_url=f"{one_slot.url}/v1", api_key="unused", max_retries=2)
    fields: Any = {"model": "endless", "messages": HELLO, "extra_body": {"timeout": 1.0, "ignore_eos": True}}
    with client:
        if stream:
            chunks = client.chat.completions.create(stream=True, **fields)
            assert any(chunk.choices[0].delta.content for chunk in islice(chunks, 10))
            with pytest.raises(openai.APIError) as failed:
                list(chunks)
        else:
            with pytest.raises(openai.APIStatusError) as failed:
                client.chat.completions.create(**fields)
            assert failed.value.status_code == 408
    assert failed.value.code == "request_timeout"
    one_slot.wait_until_idle()
    assert one_slot.metric(FINISHED, finished_reason="timeout") == before + 1
    assert one_slot.metric("llamad_http_requests_total") == asked + 1  # it was not tried again


def test_timeouts_of_the_server(endless_model: Path, tmp_path: Path) -> None:
    async def scenario(server: ServerProcess) -> None:
        async with server.async_client() as client:
            running = asyncio.create_task(ask(client, max_tokens=None))
            await asyncio.to_thread(
                server.wait_for_metric, "llamad_num_requests_running", lambda count: count == 1
            )
            with pytest.raises(openai.InternalServerError) as waited:
                await ask(client)
            assert (waited.value.status_code, waited.value.code) == (503, "queue_timeout")
            assert int(waited.value.response.headers["retry-after"]) >= 1
            with pytest.raises(openai.APIStatusError) as ran:
                await running
            assert (ran.value.status_code, ran.value.code) == (408, "request_timeout")
            assert ran.value.response.headers["x-should-retry"] == "false"
        await asyncio.to_thread(server.wait_until_idle)
        assert server.metric(FINISHED, finished_reason="queue_timeout") == 1
        assert server.metric(FINISHED, finished_reason="timeout") == 1
        assert server.metric(FINISHED, finished_reason="error") == 0

    flags = ("--n-parallel", "1", "--n-ctx", str(ENDLESS_N_CTX), "--preload-model", "endless", *ONE_THREAD)
    limits = ("--queue-timeout", "1", "--request-timeout", "5")
    with serving(endless_model.parent, *flags, *limits, log_path=tmp_path / "server.log") as server:
        asyncio.run(scenario(server))


def test_what_was_generated_before_a_timeout_is_not_lost(endless_model: Path) -> None:
    with Engine(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX, n_threads=1, queue_timeout_s=0.5) as engine:
        options = RequestOptions(timeout_s=2)
        running = engine.submit("hello", ignore_eos=True, options=options)
        with pytest.raises(QueueTimeoutError):
            engine.generate("world")
        with pytest.raises(RequestTimeoutError) as caught:
            running.result(60)
        partial = caught.value.partial
        assert partial is not None
        assert partial.usage.completion_tokens == len(partial.token_ids) > 0
        assert partial.text == engine.detokenize(partial.token_ids)
        assert engine.generate("hello", max_tokens=4).usage.completion_tokens >= 1


def test_prefixes_are_shared_within_a_salt_only(tiny_server: ServerProcess) -> None:
    def cached(**salt: str) -> int:
        completion = client.chat.completions.create(
            model="tiny", messages=LONG, max_tokens=4, temperature=0, extra_body=salt
        )
        assert completion.usage is not None
        assert completion.usage.prompt_tokens_details is not None
        n_cached = completion.usage.prompt_tokens_details.cached_tokens
        assert n_cached is not None
        assert n_cached < completion.usage.prompt_tokens
        return n_cached

    with tiny_server.client() as client:
        assert cached() == 0
        assert cached() > 32
        assert cached(cache_salt="a") == 0
        assert cached(cache_salt="b") == 0
        assert cached(cache_salt="a") > 32
        assert cached(cache_salt="b") > 32
        assert cached(prompt_cache_key="k") > 32
