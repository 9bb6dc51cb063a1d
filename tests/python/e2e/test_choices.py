"""Several completions of one prompt: over HTTP, from threads, on an event loop."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import openai
import pytest
from llamad import AsyncEngine, Engine, ParameterError, Result, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.python.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(300)

PROMPT = "count the story of one world and of two and of three " * 4
MESSAGES: Any = [{"role": "user", "content": PROMPT}]
SAMPLED: dict[str, Any] = {"max_tokens": 16, "temperature": 1.0, "seed": 7}


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(tiny_model, n_parallel=4, n_ctx=512, n_threads=1, max_queue=8) as engine:
        yield engine


def test_whole_choices_differ_and_share_their_prompt(tiny_server: ServerProcess) -> None:
    prefilled = tiny_server.metric("llamad_prefilled_tokens_total")
    with tiny_server.client() as client:
        completion = client.chat.completions.create(model="tiny", messages=MESSAGES, n=4, **SAMPLED)
    assert [choice.index for choice in completion.choices] == [0, 1, 2, 3]
    assert len({choice.message.content for choice in completion.choices}) == 4
    assert {choice.finish_reason for choice in completion.choices} == {"length"}
    usage = completion.usage
    assert usage is not None
    assert usage.completion_tokens == 4 * 16
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 0
    # Once in full, and for the others the last token, whose logits are needed.
    computed = tiny_server.metric("llamad_prefilled_tokens_total") - prefilled
    assert usage.prompt_tokens <= computed < 2 * usage.prompt_tokens


def test_streamed_choices_are_the_whole_ones(tiny_server: ServerProcess) -> None:
    with tiny_server.client() as client:
        whole = client.chat.completions.create(model="tiny", messages=MESSAGES, n=3, **SAMPLED)
        stream = client.chat.completions.create(
            model="tiny",
            messages=MESSAGES,
            n=3,
            stream=True,
            stream_options={"include_usage": True},
            **SAMPLED,
        )
        texts, reasons, usages = ["", "", ""], {}, []
        for chunk in stream:
            usages += [chunk.usage] if chunk.usage else []
            for choice in chunk.choices:
                assert choice.index not in reasons
                texts[choice.index] += choice.delta.content or ""
                if choice.finish_reason:
                    reasons[choice.index] = choice.finish_reason
    assert texts == [choice.message.content for choice in whole.choices]
    assert reasons == {0: "length", 1: "length", 2: "length"}
    assert len(usages) == 1
    assert usages[0].completion_tokens == 3 * 16


def test_more_choices_than_slots(tiny_server: ServerProcess) -> None:
    with tiny_server.client() as client:
        completion = client.chat.completions.create(
            model="tiny", messages=MESSAGES, n=32, **SAMPLED | {"max_tokens": 4}
        )
    assert [choice.index for choice in completion.choices] == list(range(32))
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 32 * 4


def test_a_client_that_leaves_frees_every_slot(tiny_server: ServerProcess) -> None:
    with tiny_server.client() as client:
        stream = client.chat.completions.create(
            model="tiny", messages=MESSAGES, n=8, stream=True, max_tokens=400, extra_body={"ignore_eos": True}
        )
        next(iter(stream))
        stream.close()
    tiny_server.wait_until_idle()


def test_choices_in_order(engine: Engine) -> None:
    results = engine.choices(PROMPT, n=3, **SAMPLED)
    alone = [engine.generate(PROMPT, **SAMPLED | {"seed": 7 + index}) for index in range(3)]
    assert [result.text for result in results] == [result.text for result in alone]
    assert results[0].logprobs is None
    assert results.elapsed_s is not None
    longest = max(result.timings.prefill_s + result.timings.decode_s for result in results)
    assert longest <= results.elapsed_s < 60


def test_choices_of_a_prompt_that_is_only_scored(tiny_model: Path, engine: Engine) -> None:
    scored: dict[str, Any] = {"n": 3, "max_tokens": 0, "prompt_logprobs": 0}

    async def awaited(best_of: int | None) -> list[Result]:
        async with await AsyncEngine.load(tiny_model, n_parallel=4, n_ctx=512, n_threads=1) as loaded:
            return await loaded.choices(PROMPT, best_of=best_of, **scored)

    for best_of in (None, 4):
        for results in (engine.choices(PROMPT, best_of=best_of, **scored), asyncio.run(awaited(best_of))):
            assert [(result.text, result.token_ids) for result in results] == [("", [])] * 3
            assert {result.finish_reason for result in results} == {"length"}
            assert all(result.prompt_logprobs for result in results)


def test_the_best_of_many_come_first(engine: Engine) -> None:
    everything = engine.choices(PROMPT, n=6, logprobs=0, **SAMPLED)
    chosen = engine.choices(PROMPT, n=2, best_of=6, **SAMPLED)
    ranked = sorted(everything, key=mean_logprob, reverse=True)
    assert [result.text for result in chosen] == [result.text for result in ranked[:2]]
    assert mean_logprob(chosen[0]) >= mean_logprob(chosen[1])


def mean_logprob(result: Result) -> float:
    assert result.cumulative_logprob is not None
    return result.cumulative_logprob / len(result.token_ids)


def test_choices_wait_for_room_in_the_queue(engine: Engine) -> None:
    results = engine.choices("hello", n=100, seed=2**63 - 50, max_tokens=2)
    assert len(results) == 100
    assert results[50].text == engine.generate("hello", seed=0, max_tokens=2).text


def test_choices_on_an_event_loop(tiny_model: Path, engine: Engine) -> None:
    async def scenario() -> None:
        async with await AsyncEngine.load(tiny_model, n_parallel=4, n_ctx=512, n_threads=1) as loaded:
            for best_of in (None, 6):
                results = await loaded.choices(PROMPT, n=3, best_of=best_of, **SAMPLED)
                expected = engine.choices(PROMPT, n=3, best_of=best_of, **SAMPLED)
                assert [result.text for result in results] == [result.text for result in expected]
            with pytest.raises(ValueError, match="submit_choices"):
                loaded.submit(await loaded.prepare("hello", SamplingParams(), stream=False, n=2))

    asyncio.run(scenario())


def test_choices_wait_for_room_on_an_event_loop(tiny_model: Path) -> None:
    async def scenario() -> None:
        options: Any = {"n_parallel": 2, "n_ctx": 256, "n_threads": 1, "max_queue": 8}
        async with await AsyncEngine.load(tiny_model, **options) as loaded:
            many = asyncio.create_task(loaded.generate(["hello"] * 100, max_tokens=8))
            for _ in range(10_000):
                if loaded.stats()["waiting"] == options["max_queue"]:
                    break
                await asyncio.sleep(0.001)
            each = await asyncio.gather(*(loaded.choices("hello", n=8, max_tokens=1) for _ in range(4)))
            assert [len(results) for results in each] == [8] * 4
            assert len(await many) == 100
            # More than ever fit into the queue.
            assert len(await loaded.choices("hello", n=20, max_tokens=1)) == 20

    asyncio.run(scenario())


def test_logprobs(engine: Engine) -> None:
    deltas = list(engine.stream(PROMPT, max_tokens=8, temperature=0, logprobs=3))
    whole = engine.generate(PROMPT, max_tokens=8, temperature=0, logprobs=3)
    assert whole.logprobs is not None
    assert [token.token_id for token in whole.logprobs] == whole.token_ids
    streamed = [token for delta in deltas for token in delta.logprobs or ()]
    assert [token.token_id for token in streamed] == whole.token_ids
    for token in whole.logprobs:
        # Greedy: the token taken is the likeliest.
        assert token.top[0] == (token.token_id, token.logprob)
        assert len(token.top) == 3
        assert token.top[0][1] >= token.top[1][1] >= token.top[2][1]
        assert sum(math.exp(logprob) for _, logprob in token.top) <= 1 + 1e-5
    with pytest.raises(ParameterError) as caught:
        engine.generate("hello", logprobs=21)
    assert caught.value.param == "logprobs"


def test_a_choice_too_many_is_a_client_error(tiny_server: ServerProcess) -> None:
    with tiny_server.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=MESSAGES, n=129)
    assert caught.value.param == "n"
