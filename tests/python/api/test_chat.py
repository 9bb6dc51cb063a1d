"""Chat completions over the wire: whole and streamed."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from .fakes import FakeEngine, delta, end
from .harness import CHAT, chat_body, events_of, on_loop, serving, until, wait_for

USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 2,
    "total_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


@on_loop
async def test_whole_answer() -> None:
    async with serving() as served:
        response = await served.post()
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        answer = response.json()
        assert answer["id"].startswith("chatcmpl-")
        assert answer["object"] == "chat.completion"
        assert answer["model"] == "tiny"
        assert answer["choices"] == [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ]
        assert answer["usage"] == USAGE
        assert served.engine.prepared[0].stream is False
        assert orjson.loads(served.engine.prepared[0].conversation) == {
            "messages": [{"role": "user", "content": "Hi"}],
            "continue_final_message": False,
        }


@on_loop
async def test_stream() -> None:
    async with serving() as served:
        response = await served.post(stream=True)
        assert response.headers["content-type"].startswith("text/event-stream")
        *chunks, sentinel = events_of(response.text)
        assert sentinel == "[DONE]"
        assert served.engine.prepared[0].stream is True
        assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
        assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
        assert all("usage" not in chunk for chunk in chunks)
        choices = [chunk["choices"][0] for chunk in chunks]
        assert choices[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(choice["delta"].get("content", "") for choice in choices) == "Hello"
        assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
        assert (choices[-1]["delta"], choices[-1]["finish_reason"]) == ({}, "stop")


@on_loop
async def test_stream_with_usage() -> None:
    async with serving() as served:
        response = await served.post(stream=True, stream_options={"include_usage": True})
        *chunks, usage, sentinel = events_of(response.text)
        assert sentinel == "[DONE]"
        assert (usage["choices"], usage["usage"]) == ([], USAGE)
        assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)


@on_loop
async def test_each_delta_is_sent_when_it_comes() -> None:
    async with serving(FakeEngine()) as served:
        async with served.client.stream("POST", CHAT, json=chat_body(stream=True)) as response:
            parts = response.aiter_text()
            seen = await anext(parts)
            for text in ("one", "two", "three"):
                delta(served.engine.streams[0], text)
                while text not in seen:
                    seen += await anext(parts)
            end(served.engine.streams[0], "length", completion=3)
            async for part in parts:
                seen += part
        assert events_of(seen)[-2]["choices"][0]["finish_reason"] == "length"


@on_loop
async def test_text_survives_escaping() -> None:
    texts = ['"', "\\", "\n\n", "\r", "\x00", "data: x", "é", "日本", "🙂", "\u2028", "</script>"]
    async with serving(FakeEngine(texts=texts)) as served:
        response = await served.post(stream=True)
        chunks = events_of(response.text)[:-1]
        deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
        assert "".join(deltas) == "".join(texts)
        whole = (await served.post()).json()
        assert whole["choices"][0]["message"]["content"] == "".join(texts)


@on_loop
async def test_held_back_text_sends_no_chunk() -> None:
    """An event may bring a token but no text yet: that neither ends the stream nor makes a chunk."""
    async with serving(FakeEngine()) as served:
        asking = asyncio.create_task(served.post(stream=True))
        await wait_for(served.engine.submitted)
        (stream,) = served.engine.streams
        for text in ("", "a", "", "", "b", ""):
            delta(stream, text)
            await until(lambda: stream._n_texts_taken == len(stream._texts))
        end(stream, "stop", completion=6)
        *chunks, _, sentinel = events_of((await asking).text)
        assert sentinel == "[DONE]"
        assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == ["", "a", "b"]


@on_loop
async def test_empty_answer() -> None:
    async with serving(FakeEngine(texts=[])) as served:
        assert (await served.post()).json()["choices"][0]["message"]["content"] == ""
        assert len(events_of((await served.post(stream=True)).text)) == 3


@pytest.mark.parametrize(
    ("kind", "code"), [("generation_failed", "generation_failed"), ("engine_closed", "server_stopping")]
)
@on_loop
async def test_error_in_mid_stream(kind: str, code: str) -> None:
    async with serving(FakeEngine()) as served:
        asking = asyncio.create_task(served.post(stream=True))
        await wait_for(served.engine.submitted)
        delta(served.engine.streams[0], "Hel")
        end(served.engine.streams[0], "error", kind=kind, message="llama_decode: secret")
        response = await asking
        *_, text, error = events_of(response.text)
        assert text["choices"][0]["delta"]["content"] == "Hel"
        assert error["error"]["code"] == code
        assert "secret" not in response.text


@on_loop
async def test_streams_interleave() -> None:
    async with serving(FakeEngine()) as served:
        asking = [asyncio.create_task(served.post(stream=True)) for _ in range(8)]
        await until(lambda: len(served.engine.streams) == 8)
        for step in range(5):
            for stream in served.engine.streams:
                delta(stream, f"{stream.request_id}.{step} ")
            await asyncio.sleep(0)
        for stream in served.engine.streams:
            end(stream, "stop", completion=5)
        texts = set()
        for response in await asyncio.gather(*asking):
            chunks = events_of(response.text)[:-1]
            texts.add("".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks))
        assert texts == {"".join(f"{i}.{step} " for step in range(5)) for i in range(8)}


@on_loop
async def test_sampling_reaches_the_engine() -> None:
    fields: dict[str, Any] = {
        "max_completion_tokens": 7,
        "max_tokens": 3,
        "temperature": 0,
        "stop": "END",
        "seed": 11,
        "logit_bias": {"42": -100},
        "top_k": 5,
        "ignore_eos": True,
        "min_p": None,
        "user": "somebody",
        "no_such_field": {"a": 1},
    }
    async with serving() as served:
        assert (await served.post(**fields)).status_code == 200
        params = served.engine.prepared[0].params
        assert (params.max_tokens, params.temperature, params.stop, params.seed) == (7, 0.0, ("END",), 11)
        assert (params.logit_bias, params.top_k, params.ignore_eos) == (((42, -100.0),), 5, True)
        assert params.min_p == 0.05
