"""Chat completions whose text has to be parsed: reasoning and tool calls, whole and streamed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from .fakes import FakeEngine, LineParser, delta, end
from .harness import events_of, on_loop, serving, until, wait_for

TOOLS = [{"type": "function", "function": {"name": "add"}}]
TWO_CALLS = ["r I \n", "r think\n", 't 0 add \na 0 {"a\n', 'a 0 ": 1}\n', "t 1 sub {}\n"]


def parsing(texts: list[str]) -> FakeEngine:
    return FakeEngine(texts=texts, new_parser=LineParser)


async def whole(texts: list[str], **fields: Any) -> tuple[dict[str, Any], str]:
    async with serving(parsing(texts)) as served:
        (choice,) = (await served.post(**fields)).json()["choices"]
        return choice["message"], choice["finish_reason"]


async def streamed(texts: list[str], **fields: Any) -> list[dict[str, Any]]:
    async with serving(parsing(texts)) as served:
        *chunks, sentinel = events_of((await served.post(stream=True, **fields)).text)
        assert sentinel == "[DONE]"
        return [chunk["choices"][0] for chunk in chunks]


@on_loop
async def test_whole_tool_calls() -> None:
    message, reason = await whole(TWO_CALLS)
    calls = message.pop("tool_calls")
    ids = [call.pop("id") for call in calls]
    assert all(one.startswith("call_") for one in ids)
    assert len(set(ids)) == 2
    assert calls == [
        {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
        {"type": "function", "function": {"name": "sub", "arguments": "{}"}},
    ]
    assert message == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "reasoning_content": "I think",
    }
    assert reason == "tool_calls"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], {"content": ""}),
        (["c Hel\n", "c lo\n"], {"content": "Hello"}),
        (["c Hello"], {"content": "Hello"}),  # told at the end alone
        (["r hm\n", "c Hello\n"], {"content": "Hello", "reasoning_content": "hm"}),
        (["r hm"], {"content": "", "reasoning_content": "hm"}),
    ],
)
@on_loop
async def test_whole_text(texts: list[str], message: dict[str, Any]) -> None:
    told, reason = await whole(texts)
    assert told == {"role": "assistant", "refusal": None} | message
    assert reason == "stop"


@on_loop
async def test_content_beside_a_call_is_kept() -> None:
    message, _ = await whole(["c Let me see.\n", "t 0 add {}\n"])
    assert message["content"] == "Let me see."
    assert len(message["tool_calls"]) == 1


@on_loop
async def test_streamed_tool_calls() -> None:
    choices = await streamed(TWO_CALLS)
    deltas = [choice["delta"] for choice in choices]
    assert deltas[0] == {"role": "assistant", "content": None}
    assert [one["reasoning_content"] for one in deltas[1:3]] == ["I ", "think"]
    calls = [one["tool_calls"][0] for one in deltas[3:-1]]
    assert [call["index"] for call in calls] == [0, 0, 0, 1]
    # The name comes first, with an id; then nothing but pieces of the arguments.
    first, *rest = [call for call in calls if call["index"] == 0]
    assert first["function"] == {"name": "add", "arguments": ""}
    assert (first["type"], first["id"][:5]) == ("function", "call_")
    assert [set(call) for call in rest] == [{"index", "function"}] * 2
    assert "".join(call["function"]["arguments"] for call in rest) == '{"a": 1}'
    assert calls[3]["function"] == {"name": "sub", "arguments": "{}"}
    assert calls[3]["id"] != first["id"]
    assert [choice["finish_reason"] for choice in choices] == [None] * 7 + ["tool_calls"]
    assert deltas[-1] == {}


@on_loop
async def test_what_the_parser_held_back_comes_before_the_end() -> None:
    choices = await streamed(["c Hel\n", "c lo"])
    assert [choice["delta"].get("content") for choice in choices] == [None, "Hel", "lo", None]
    assert choices[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [True, False])
@on_loop
async def test_a_call_that_is_cut_off_ends_by_length(stream: bool) -> None:
    async with serving(FakeEngine(new_parser=LineParser)) as served:
        asking = asyncio.create_task(served.post(stream=stream))
        await wait_for(served.engine.submitted)
        delta(served.engine.streams[0], 't 0 add {"a\n')
        end(served.engine.streams[0], "length", completion=1)
        response = await asking
        choice = (events_of(response.text)[-2] if stream else response.json())["choices"][0]
        assert choice["finish_reason"] == "length"


@on_loop
async def test_each_choice_has_a_parser_of_its_own() -> None:
    async with serving(FakeEngine(new_parser=LineParser)) as served:
        asking = asyncio.create_task(served.post(stream=True, n=2))
        await wait_for(served.engine.submitted)
        one, two = served.engine.streams
        for stream, text in ((one, "c He"), (two, "t 0 add"), (one, "llo\n"), (two, " {}\n")):
            delta(stream, text)
            await until(lambda: one.unread_bytes == two.unread_bytes == 0)
        for stream in (one, two):
            end(stream, "stop", completion=2)
        choices = [chunk["choices"][0] for chunk in events_of((await asking).text)[:-1]]
        texts = [choice["delta"].get("content") for choice in choices if choice["index"] == 0]
        assert texts == [None, "Hello", None]
        calls = [choice["delta"].get("tool_calls") for choice in choices if choice["index"] == 1]
        assert [call and call[0]["function"]["name"] for call in calls] == [None, "add", None]
        reasons = {choice["index"]: choice["finish_reason"] for choice in choices}
        assert reasons == {0: "stop", 1: "tool_calls"}


@on_loop
async def test_text_that_is_held_back_sends_no_chunk() -> None:
    async with serving(FakeEngine(new_parser=LineParser)) as served:
        asking = asyncio.create_task(served.post(stream=True))
        await wait_for(served.engine.submitted)
        (stream,) = served.engine.streams
        for text in ("c", " ", "a", "", "\n"):
            delta(stream, text)
            await until(lambda: stream._n_texts_taken == len(stream._texts))
        end(stream, "stop", completion=5)
        chunks = events_of((await asking).text)[:-1]
        assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == [None, "a", None]


@on_loop
async def test_what_is_offered_reaches_the_engine() -> None:
    async with serving() as served:
        assert (await served.post(tools=TOOLS, tool_choice="required")).status_code == 200
        told = orjson.loads(served.engine.prepared[0].conversation)
        assert told["tool_choice"] == "required"
        assert told["tools"][0]["function"]["name"] == "add"


@on_loop
async def test_the_events_of_a_stream_add_up_to_the_whole() -> None:
    """What clients put together from any cut of the text is what they would get unstreamed."""
    text = "".join(TWO_CALLS) + "c done"
    message, _ = await whole([text])
    for first, second in itertools.islice(itertools.combinations(range(len(text)), 2), 0, None, 97):
        deltas = [one["delta"] for one in await streamed([text[:first], text[first:second], text[second:]])]
        calls: dict[int, dict[str, Any]] = {}
        for piece in (call for one in deltas for call in one.get("tool_calls", ())):
            function = calls.setdefault(piece["index"], {"name": "", "arguments": ""})
            for key, value in piece["function"].items():
                function[key] += value
        assert list(calls.values()) == [call["function"] for call in message["tool_calls"]]
        for key in ("content", "reasoning_content"):
            assert "".join(one.get(key) or "" for one in deltas) == message[key]


@on_loop
async def test_thoughts_are_counted() -> None:
    texts = ["r x\n", "c y\n"]

    class Spelling(FakeEngine):
        def token_pieces(self, token_ids: Sequence[int]) -> list[bytes]:
            return [text.encode() for text in texts]

    async with serving(Spelling(texts=texts, new_parser=LineParser)) as served:
        expected = {"reasoning_tokens": 1}
        assert (await served.post()).json()["usage"]["completion_tokens_details"] == expected
        fields = {"stream": True, "stream_options": {"include_usage": True}}
        *_, last, _ = events_of((await served.post(**fields)).text)
        assert last["usage"]["completion_tokens_details"] == expected
