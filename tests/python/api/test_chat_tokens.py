"""What goes along with the text of a chat where it is asked for: log-probabilities, token ids, counts."""

from __future__ import annotations

import asyncio
from typing import Any

from llamad.aio.stream import TokenStream

from .fakes import PROMPT, FakeEngine, LineParser, end, finish
from .harness import Served, events_of, on_loop, serving, wait_for

EURO = list("€".encode())


def entry(text: str, logprob: float, raw: list[int]) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": raw}


A = entry("a", -0.5, [97]) | {"top_logprobs": [entry("a", -0.5, [97]), entry("b", -1.5, [98])]}
HALF = entry("�", -9999.0, EURO[:1]) | {"top_logprobs": []}


def push(stream: TokenStream, text: str, *tokens: Any) -> None:
    stream.push(text, [token for token, _, _ in tokens], list(tokens), None)


async def ask(served: Served, **fields: Any) -> tuple[asyncio.Task[Any], TokenStream]:
    asking = asyncio.create_task(served.post(**fields))
    await wait_for(served.engine.submitted)
    return asking, served.engine.streams[0]


TOKEN_A: Any = (97, -0.5, [(97, -0.5), (98, -1.5)])
TOKEN_HALF: Any = (EURO[0], float("-inf"), [])
TOKEN_END: Any = (0, -0.1, [])


@on_loop
async def test_whole_logprobs() -> None:
    async with serving(FakeEngine()) as served:
        asking, stream = await ask(served, logprobs=True, top_logprobs=2)
        assert served.engine.prepared[0].params.logprobs == 2
        push(stream, "a", TOKEN_A)
        push(stream, "€", TOKEN_HALF)
        stream.push("", [0], [TOKEN_END], finish("stop", completion=3))
        (choice,) = (await asking).json()["choices"]
        # The token that ends the generation is no part of the answer.
        assert choice["logprobs"] == {"content": [A, HALF], "refusal": None}


@on_loop
async def test_the_last_token_of_an_answer_that_a_stop_string_or_the_limit_ends_is_told() -> None:
    for reason, stop_string in (("length", None), ("stop", "x")):
        async with serving(FakeEngine()) as served:
            asking, stream = await ask(served, logprobs=True)
            over = finish(reason, completion=1)
            over.stop_string = stop_string
            stream.push("a", [97], [TOKEN_A], over)
            (choice,) = (await asking).json()["choices"]
            assert choice["logprobs"]["content"] == [A]


@on_loop
async def test_streamed_logprobs_come_with_their_text() -> None:
    async with serving(FakeEngine()) as served:
        asking, stream = await ask(served, stream=True, logprobs=True, top_logprobs=2)
        push(stream, "a", TOKEN_A)
        await asyncio.sleep(0.01)
        push(stream, "", TOKEN_HALF)
        await asyncio.sleep(0.01)
        push(stream, "b", TOKEN_A)
        await asyncio.sleep(0.01)
        stream.push("", [0], [TOKEN_END], finish("stop", completion=4))
        choices = [chunk["choices"][0] for chunk in events_of((await asking).text)[:-1]]
        assert choices[0]["delta"] == {"role": "assistant", "content": ""}
        assert choices[0]["logprobs"] is None
        told = [one for choice in choices if choice["logprobs"] for one in choice["logprobs"]["content"]]
        assert told == [A, HALF, A]
        assert "".join(choice["delta"].get("content") or "" for choice in choices) == "ab"
        assert choices[-1]["logprobs"] is None
        assert choices[-1]["finish_reason"] == "stop"


@on_loop
async def test_tokens_whose_text_is_held_back_are_told_with_the_next_chunk() -> None:
    async with serving(FakeEngine(new_parser=LineParser)) as served:
        asking, stream = await ask(served, stream=True, logprobs=True, return_token_ids=True)
        push(stream, "c a", TOKEN_A, TOKEN_A)
        await asyncio.sleep(0.01)
        push(stream, "b\nc c", TOKEN_HALF)
        stream.push("", [0], [TOKEN_END], finish("stop", completion=4))
        choices = [chunk["choices"][0] for chunk in events_of((await asking).text)[:-1]]
        assert [choice["delta"].get("content") for choice in choices] == [None, "ab", "c", None]
        ids = [choice["token_ids"] for choice in choices]
        assert [one for some in ids for one in some] == [97, 97, EURO[0], 0]
        assert ids[0] == []
        told = [one for choice in choices if choice["logprobs"] for one in choice["logprobs"]["content"]]
        assert [one["bytes"] for one in told] == [[97], [97], EURO[:1]]


@on_loop
async def test_token_ids() -> None:
    async with serving(FakeEngine(texts=["a", "b"])) as served:
        answer = (await served.post(return_token_ids=True, n=2)).json()
        assert answer["prompt_token_ids"] == PROMPT
        assert [choice["token_ids"] for choice in answer["choices"]] == [[1, 1], [1, 1]]
        assert all(choice["logprobs"] is None for choice in answer["choices"])
        *chunks, _ = events_of((await served.post(return_token_ids=True, stream=True)).text)
        assert chunks[0]["prompt_token_ids"] == PROMPT
        assert all("prompt_token_ids" not in chunk for chunk in chunks[1:])
        assert [one for chunk in chunks for one in chunk["choices"][0]["token_ids"]] == [1, 1]


@on_loop
async def test_nobody_is_told_of_tokens_unasked() -> None:
    async with serving() as served:
        answer = (await served.post()).json()
        assert "prompt_token_ids" not in answer
        assert set(answer["choices"][0]) == {"index", "message", "logprobs", "finish_reason"}


@on_loop
async def test_counts_in_every_chunk() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    async with serving(FakeEngine()) as served:
        asking, stream = await ask(served, stream=True, stream_options=options)
        for text in "ab":
            push(stream, text, TOKEN_A)
            await asyncio.sleep(0.01)
        end(stream, "length", completion=2)
        *chunks, last, _ = events_of((await asking).text)
        counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
        assert counts == sorted(counts)
        assert (counts[0], counts[-1]) == (0, 2)
        assert {chunk["usage"]["prompt_tokens"] for chunk in chunks} == {len(PROMPT)}
        assert last["usage"]["completion_tokens"] == 2
