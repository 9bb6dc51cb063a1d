"""What a client did wrong reaches it as the official client's own exception classes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.python.support.server_process import ONE_THREAD, serving
from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from pathlib import Path

    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletionChunk

    from tests.python.support.server_process import ONE_THREAD, ServerProcess

pytestmark = pytest.mark.timeout(300)

HELLO: Any = [{"role": "user", "content": "hello"}]


def test_unknown_model_lists_those_there_are(tiny_server: ServerProcess) -> None:
    with tiny_server.client() as client, pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="absent", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert "'absent'" in caught.value.message
    assert "tiny" in caught.value.message


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("temperature", -1),
        ("temperature", "hot"),
        ("top_p", 0),
        ("max_tokens", 0),
        ("n", 0),
        ("n", 129),
        ("stop", ["x"] * 65),
        ("logit_bias", {"100000000": 1}),
        ("messages", []),
        ("messages", "hello"),
        ("stream_options", {"include_usage": True}),
    ],
)
def test_bad_parameter_is_named(tiny_server: ServerProcess, param: str, value: object) -> None:
    fields: Any = {"model": "tiny", "messages": HELLO, "max_tokens": 4} | {param: value}
    with tiny_server.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**fields)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("min_p", 2),
        ("priority", 1.5),
        ("timeout", 0),
        ("timeout", "soon"),
        ("cache_salt", ""),
        ("cache_salt", 7),
        ("user", 7),
    ],
)
def test_bad_extension_is_named(tiny_server: ServerProcess, param: str, value: object) -> None:
    with tiny_server.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=HELLO, extra_body={param: value})
    assert caught.value.param == param


def test_bad_grammar_is_a_client_error(tiny_server: ServerProcess) -> None:
    with tiny_server.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=HELLO, extra_body={"grammar": "root ::= ("})
    assert caught.value.param == "grammar"


@pytest.mark.parametrize("stream", [True, False])
def test_prompt_too_long(tiny_server: ServerProcess, stream: bool) -> None:
    messages: Any = [{"role": "user", "content": "hello world " * 600}]
    with tiny_server.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=messages, stream=stream)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "messages"
    assert "512" in caught.value.message


def test_full_queue_is_a_rate_limit(endless_model: Path, tmp_path: Path) -> None:
    async def start(client: AsyncOpenAI) -> openai.AsyncStream[ChatCompletionChunk]:
        return await client.chat.completions.create(
            model="endless", messages=HELLO, stream=True, extra_body={"ignore_eos": True}
        )

    async def overflow(server: ServerProcess) -> None:
        async with server.async_client() as client:
            async with await start(client) as running:
                async for chunk in running:
                    if chunk.choices[0].delta.content:
                        break
                others = await asyncio.gather(*(start(client) for _ in range(3)), return_exceptions=True)
                refused = [other for other in others if isinstance(other, BaseException)]
                assert len(refused) == 2
                for error in refused:
                    assert isinstance(error, openai.RateLimitError)
                    assert error.code == "queue_full"
                    assert int(error.response.headers["retry-after"]) >= 1
                for other in others:
                    if not isinstance(other, BaseException):
                        await other.close()
            await asyncio.to_thread(server.wait_until_idle)
            completion = await client.chat.completions.create(model="endless", messages=HELLO, max_tokens=4)
            assert completion.usage is not None

    flags = ("--n-parallel", "1", "--max-queue", "1", "--n-ctx", str(ENDLESS_N_CTX), *ONE_THREAD)
    with serving(endless_model.parent, *flags, log_path=tmp_path / "server.log") as server:
        asyncio.run(overflow(server))
