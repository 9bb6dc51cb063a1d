"""The official asyncio client: many streams at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from .questions import MODEL, user

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from tests.python.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(300)

STREAMS, TOKENS = 20, 12


async def stream_one(client: AsyncOpenAI, number: int) -> tuple[str, int]:
    """Return the text of an answer, and how many tokens it has."""
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=user(f"Write a story about the number {number}."),
        temperature=0,
        max_tokens=TOKENS,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    text, tokens = "", 0
    async for chunk in stream:
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
    return text, tokens


def test_twenty_streams_at_once(server: ServerProcess) -> None:
    async def all_at_once() -> list[tuple[str, int]]:
        async with server.async_client() as client:
            return await asyncio.gather(*(stream_one(client, number) for number in range(STREAMS)))

    answers = asyncio.run(all_at_once())
    assert [tokens for _, tokens in answers] == [TOKENS] * STREAMS
    assert all(text for text, _ in answers)
    server.wait_until_idle()


def test_cancelled_tasks_free_their_slots(server: ServerProcess) -> None:
    async def cancelled() -> None:
        fields: Any = {"max_tokens": 1500, "extra_body": {"ignore_eos": True}}
        async with server.async_client() as client:
            ask = client.chat.completions.create
            tasks = [
                asyncio.create_task(ask(model=MODEL, messages=user(f"Count to {n}."), **fields))
                for n in range(8)
            ]
            await asyncio.to_thread(
                server.wait_for_metric, "llamad_num_requests_running", lambda count: count == len(tasks)
            )
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(cancelled())
    server.wait_until_idle()
