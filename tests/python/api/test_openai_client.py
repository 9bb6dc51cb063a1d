"""The official client understands what is sent to it."""

from __future__ import annotations

import openai
import pytest
from llamad.errors import ContextLengthError
from openai.types.chat import ChatCompletionUserMessageParam

from .fakes import FakeEngine, queue_full
from .harness import Served, on_loop, serving

MESSAGES = [ChatCompletionUserMessageParam(role="user", content="Hi")]


def openai_client(served: Served) -> openai.AsyncOpenAI:
    base_url = str(served.client.base_url.join("/v1"))
    transport = openai.DefaultAsyncHttpxClient(trust_env=False)
    return openai.AsyncOpenAI(api_key="none", base_url=base_url, max_retries=0, http_client=transport)


@on_loop
async def test_whole_and_streamed() -> None:
    async with serving() as served, openai_client(served) as client:
        whole = await client.chat.completions.create(model="tiny", messages=MESSAGES, seed=1)
        assert whole.choices[0].message.content == "Hello"
        assert whole.usage is not None
        assert whole.usage.prompt_tokens_details is not None
        assert whole.usage.prompt_tokens_details.cached_tokens == 2
        stream = await client.chat.completions.create(
            model="tiny", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == "Hello"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == 7
        assert [model.id async for model in await client.models.list()] == ["tiny"]


@on_loop
async def test_errors_become_the_client_s_own() -> None:
    async with serving() as served, openai_client(served) as client:
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="huge", messages=MESSAGES)
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as bad:
            await client.chat.completions.create(model="tiny", messages=MESSAGES, n=0)
        assert bad.value.param == "n"
        served.engine.prepare_error = ContextLengthError("3000 tokens do not fit into 2048")
        with pytest.raises(openai.BadRequestError) as long:
            await client.chat.completions.create(model="tiny", messages=MESSAGES)
        assert long.value.code == "context_length_exceeded"
    async with serving(FakeEngine(submit_error=queue_full())) as served, openai_client(served) as client:
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="tiny", messages=MESSAGES, stream=True)
