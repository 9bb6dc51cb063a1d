"""`TokenStream` fed by the test: who is woken, and what a cancelled reader leaves behind."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from llamad import Delta, QueueTimeoutError, RequestTimeoutError, TokenLogprobs
from llamad.aio.stream import TokenStream

if TYPE_CHECKING:
    from collections.abc import Coroutine

WAIT_S = 30.0

END: Any = SimpleNamespace(
    finish_reason="stop",
    stop_string=None,
    prompt_tokens=1,
    completion_tokens=2,
    cached_tokens=0,
    queue_s=0.0,
    prefill_s=0.0,
    decode_s=0.0,
    prompt_logprobs=None,
    error_kind="",
    error_message="",
)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WAIT_S):
            await scenario

    asyncio.run(bounded())


def test_every_waiter_is_woken() -> None:
    async def scenario() -> None:
        stream = TokenStream(1, lambda _: None)
        waiters = [asyncio.create_task(stream.wait()) for _ in range(3)]
        readers = [asyncio.create_task(_read(stream)) for _ in range(2)]
        await asyncio.sleep(0)
        stream.push("a", [1], None, None)
        await asyncio.sleep(0)
        stream.push("b", [2], None, END)
        assert [result.text for result in await asyncio.gather(*waiters)] == ["ab"] * 3
        assert sorted("".join(await asyncio.gather(*readers))) == ["a", "b"]

    run(scenario())


async def _read(stream: TokenStream) -> str:
    return "".join([delta.text async for delta in stream])


def test_cancelling_a_reader_cancels_the_request() -> None:
    async def scenario() -> None:
        cancelled: list[int] = []
        stream = TokenStream(7, cancelled.append)
        reader = asyncio.create_task(_read(stream))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert cancelled == [7]

    run(scenario())


def test_cancelling_one_of_several_who_wait_for_the_end_disturbs_nobody() -> None:
    async def scenario() -> None:
        cancelled: list[int] = []
        stream = TokenStream(7, cancelled.append)
        given_up, patient = (asyncio.create_task(stream.wait()) for _ in range(2))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        stream.push("a", [1], None, END)
        assert (await patient).text == "a"
        assert cancelled == []

    run(scenario())


def test_the_context_manager_cancels_only_what_is_not_over() -> None:
    async def scenario() -> None:
        cancelled: list[int] = []
        async with TokenStream(1, cancelled.append) as stream:
            stream.push("a", [1], None, END)
        async with TokenStream(2, cancelled.append):
            pass
        assert cancelled == [2]

    run(scenario())


def ended(kind: str) -> Any:
    return SimpleNamespace(
        **vars(END) | {"finish_reason": "error", "error_kind": kind, "error_message": "late"}
    )


def test_deltas_carry_the_logprobs_of_their_tokens() -> None:
    async def scenario() -> None:
        stream = TokenStream(1, lambda _: None)
        stream.push("a", [1], [(1, -0.5, [(1, -0.5), (2, -1.0)])], None)
        first = stream.take()
        assert first == Delta("a", [1], (TokenLogprobs(1, -0.5, ((1, -0.5), (2, -1.0))),))
        stream.push("b", [2], [(2, -0.25, [])], None)
        stream.push("c", [3], [(3, -0.125, [])], END)
        second = stream.take()
        assert second is not None
        assert [token.token_id for token in second.logprobs or ()] == second.token_ids == [2, 3]
        assert stream.take() is None
        assert stream.result.cumulative_logprob == -0.875

    run(scenario())


def test_without_logprobs_there_are_none() -> None:
    async def scenario() -> None:
        stream = TokenStream(1, lambda _: None)
        stream.push("a", [1], None, END)
        assert (await anext(stream)).logprobs is None
        assert stream.result.logprobs is None
        assert stream.result.cumulative_logprob is None

    run(scenario())


def test_a_total_timeout_holds_what_was_generated() -> None:
    async def scenario() -> None:
        stream = TokenStream(1, lambda _: None)
        stream.push("so far", [1, 2], None, ended("timeout"))
        with pytest.raises(RequestTimeoutError, match="late") as caught:
            await stream.wait()
        assert not isinstance(caught.value, QueueTimeoutError)
        assert caught.value.partial is not None
        assert (caught.value.partial.text, caught.value.partial.token_ids) == ("so far", [1, 2])
        assert caught.value.partial.finish_reason == "cancelled"

    run(scenario())


def test_a_queue_timeout_is_told_apart() -> None:
    async def scenario() -> None:
        stream = TokenStream(1, lambda _: None)
        stream.push("", [], None, ended("queue_timeout"))
        with pytest.raises(QueueTimeoutError) as caught:
            await stream.wait()
        assert caught.value.partial is None

    run(scenario())


def test_text_and_tokens_can_be_taken_apart() -> None:
    async def scenario() -> None:
        stream = TokenStream(1, lambda _: None)
        stream.push("a", [1], [(1, -0.5, [])], None)
        stream.push("", [2], [(2, -1.5, [])], None)
        assert stream.take_text() == "a"
        assert stream.take_text() == ""
        stream.push("b", [3], [(3, -2.5, [])], END)
        taken = [TokenLogprobs(token, logprob, ()) for token, logprob in ((1, -0.5), (2, -1.5), (3, -2.5))]
        assert stream.take_tokens() == ([1, 2, 3], tuple(taken))
        assert stream.take_tokens() == ([], ())
        assert stream.take_text() == "b"

    run(scenario())
