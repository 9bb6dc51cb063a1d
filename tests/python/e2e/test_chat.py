"""Chat completions of a real model over a real socket, through the official client."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.python.support.tiny_gguf import SMOLLM2_FILE

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI
    from openai.types.chat import ChatCompletion

    from tests.python.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(300)

SMOLLM2 = SMOLLM2_FILE.removesuffix(".gguf")
QUESTIONS = (
    "What is the capital of France?",
    "What is the capital of Japan?",
    "What is two plus two?",
    "Which planet do we live on?",
    "What colour is the sky on a clear day?",
    "What do bees make?",
    "How many days does a week have?",
    "What is frozen water called?",
)


def ask(client: OpenAI, model: str, question: str, **fields: Any) -> ChatCompletion:
    messages: Any = [{"role": "user", "content": question}]
    completion: ChatCompletion = client.chat.completions.create(
        model=model, messages=messages, temperature=0, **fields
    )
    return completion


def answer(completion: ChatCompletion) -> str:
    content = completion.choices[0].message.content
    assert content is not None
    return content


async def ask_streaming(
    client: AsyncOpenAI, model: str, question: str, arrivals: list[str], **fields: Any
) -> tuple[str, str | None, Any]:
    """Return text, finish reason and usage; note in `arrivals` whose chunk came when."""
    messages: Any = [{"role": "user", "content": question}]
    stream = await client.chat.completions.create(
        model=model,
        messages=messages,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
        **fields,
    )
    texts, finish_reason, usage = [], None, None
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            finish_reason = choice.finish_reason or finish_reason
            if choice.delta.content:
                arrivals.append(question)
                texts.append(choice.delta.content)
    return "".join(texts), finish_reason, usage


async def ask_all(server: ServerProcess, model: str, arrivals: list[str], **fields: Any) -> dict[str, str]:
    async with server.async_client() as client:
        answers = await asyncio.gather(
            *(ask_streaming(client, model, question, arrivals, **fields) for question in QUESTIONS)
        )
    return {question: text for question, (text, _, _) in zip(QUESTIONS, answers, strict=True)}


@pytest.mark.parametrize("question", QUESTIONS[:3])
def test_streamed_equals_not_streamed(smollm2_server: ServerProcess, question: str) -> None:
    async def streamed() -> tuple[str, str | None, Any]:
        async with smollm2_server.async_client() as client:
            return await ask_streaming(client, SMOLLM2, question, [], max_tokens=24)

    with smollm2_server.client() as client:
        ask(client, SMOLLM2, question, max_tokens=1)  # both then find the prompt in the cache
        whole = ask(client, SMOLLM2, question, max_tokens=24)
    text, finish_reason, usage = asyncio.run(streamed())
    assert text == answer(whole)
    assert finish_reason == whole.choices[0].finish_reason
    assert whole.usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (
        whole.usage.prompt_tokens,
        whole.usage.completion_tokens,
    )


def test_the_model_answers(smollm2_server: ServerProcess) -> None:
    with smollm2_server.client() as client:
        completion = ask(client, SMOLLM2, "What is the capital of Japan?", max_tokens=24)
    assert "Tokyo" in answer(completion)
    assert completion.choices[0].finish_reason == "stop"
    assert completion.object == "chat.completion"
    assert completion.model == SMOLLM2


def test_concurrent_streams_interleave(smollm2_server: ServerProcess) -> None:
    fields = {"max_tokens": 12, "extra_body": {"ignore_eos": True}}
    arrivals: list[str] = []
    together = asyncio.run(ask_all(smollm2_server, SMOLLM2, arrivals, **fields))
    assert all(together.values())
    # One after the other there would be one switch per stream; in turn there are dozens.
    switches = sum(before != after for before, after in pairwise(arrivals))
    assert switches >= 3 * len(QUESTIONS)


def test_more_streams_than_slots_are_all_served(tiny_server: ServerProcess) -> None:
    with tiny_server.client() as client:
        solo = {question: answer(ask(client, "tiny", question, max_tokens=32)) for question in QUESTIONS}
    assert len(set(solo.values())) == len(QUESTIONS)
    together = asyncio.run(ask_all(tiny_server, "tiny", [], max_tokens=32))
    assert together == solo


def test_usage_counts_what_was_generated_and_cached(tiny_server: ServerProcess) -> None:
    question = "count the story of one world, and of two, and of three; " * 3
    with tiny_server.client() as client:
        first = ask(client, "tiny", question, max_tokens=8).usage
        again = ask(client, "tiny", question, max_tokens=8).usage
    assert first is not None
    assert again is not None
    assert first.completion_tokens == again.completion_tokens == 8
    assert first.prompt_tokens == again.prompt_tokens
    assert first.total_tokens == first.prompt_tokens + 8
    assert first.prompt_tokens_details is not None
    assert again.prompt_tokens_details is not None
    # The last prompt token is always computed: its logits are what the first new token is drawn from.
    cached = again.prompt_tokens_details.cached_tokens
    assert cached is not None
    assert again.prompt_tokens - 8 <= cached < again.prompt_tokens


def test_a_stop_string_ends_the_answer_and_stays_out_of_it(tiny_server: ServerProcess) -> None:
    with tiny_server.client() as client:
        free = answer(ask(client, "tiny", "hello world", max_tokens=64))
        stop = free[20:24]
        stopped = ask(client, "tiny", "hello world", max_tokens=64, stop=[stop])
    assert answer(stopped) == free[: free.index(stop)]
    assert stopped.choices[0].finish_reason == "stop"


def test_the_same_seed_gives_the_same_text_and_another_seed_another(tiny_server: ServerProcess) -> None:
    messages: Any = [{"role": "user", "content": "hello"}]

    def sampled(seed: int) -> str:
        with tiny_server.client() as client:
            completion = client.chat.completions.create(
                model="tiny", messages=messages, max_tokens=48, temperature=1.0, seed=seed
            )
        return answer(completion)

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)
