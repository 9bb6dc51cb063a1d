"""Several choices of one chat completion: together in one answer, each by its index."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .fakes import FakeEngine, delta, end
from .harness import CHAT, Served, chat_body, events_of, on_loop, serving, until, wait_for
from .test_disconnect import connect_and_ask


class HastyEngine(FakeEngine):
    """Ends what is cancelled before the one who cancels it can go on."""

    def _cancel(self, request_id: int) -> None:
        super()._cancel(request_id)
        self._end_cancelled(self.streams[request_id])


async def ask(served: Served, **fields: Any) -> asyncio.Task[Any]:
    """Start a request, and return once its streams are there for the test to feed."""
    before = len(served.engine.streams)
    asking = asyncio.create_task(served.post(**fields))
    await until(lambda: len(served.engine.streams) == before + fields.get("n", 1))
    return asking


@on_loop
async def test_whole_answer_has_the_choices_in_order_and_counts_the_prompt_once() -> None:
    async with serving(FakeEngine()) as served:
        asking = await ask(served, n=3)
        assert served.engine.prepared[0].n == 3
        for index, cached in ((2, 4), (0, 1), (1, 4)):
            stream = served.engine.streams[index]
            delta(stream, f"text {index}")
            end(stream, "length" if index == 1 else "stop", prompt=5, completion=index + 1, cached=cached)
        answer = (await asking).json()
        choices = answer["choices"]
        assert [choice["index"] for choice in choices] == [0, 1, 2]
        assert [choice["message"]["content"] for choice in choices] == ["text 0", "text 1", "text 2"]
        assert [choice["finish_reason"] for choice in choices] == ["stop", "length", "stop"]
        # The first to have a slot found one token in the cache; the others copied what it computed.
        assert answer["usage"] == {
            "prompt_tokens": 5,
            "completion_tokens": 6,
            "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }


@on_loop
async def test_streamed_choices_interleave_by_index() -> None:
    async with serving(FakeEngine()) as served:
        asking = await ask(served, n=2, stream=True, stream_options={"include_usage": True})
        one, two = served.engine.streams
        for stream, text in ((one, "a"), (two, "b"), (one, "c")):
            delta(stream, text)
            await until(lambda: one.unread_bytes == two.unread_bytes == 0)
        end(one, "stop", completion=2)
        await asyncio.sleep(0)
        delta(two, "d")
        end(two, "length", completion=2)
        *chunks, usage, sentinel = events_of((await asking).text)
        assert sentinel == "[DONE]"
        assert usage["usage"]["completion_tokens"] == 4
        assert usage["choices"] == []
        choices = [chunk["choices"][0] for chunk in chunks]
        said = [
            (choice["index"], choice["delta"].get("content"), choice["finish_reason"]) for choice in choices
        ]
        assert said[:2] == [(0, "", None), (1, "", None)]
        assert [one for one in said if one[0] == 0][1:] == [
            (0, "a", None),
            (0, "c", None),
            (0, None, "stop"),
        ]
        assert [one for one in said if one[0] == 1][1:] == [
            (1, "b", None),
            (1, "d", None),
            (1, None, "length"),
        ]
        assert said.index((1, "b", None)) < said.index((0, "c", None))
        assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize("stream", [True, False])
@on_loop
async def test_one_failing_choice_cancels_the_others(stream: bool) -> None:
    async with serving(HastyEngine()) as served:
        asking = await ask(served, n=3, stream=stream)
        delta(served.engine.streams[0], "begun")
        delta(served.engine.streams[1], "so far")
        end(served.engine.streams[1], "error", kind="generation_failed", message="secret")
        response = await asking
        await wait_for(served.engine.cancelled)
        await until(lambda: all(one.finished for one in served.engine.streams))
        assert "secret" not in response.text
        if stream:
            *events, error = events_of(response.text)
            assert error["error"]["code"] == "generation_failed"
            choices = [event["choices"][0] for event in events]
            assert {"content": "so far"} in [choice["delta"] for choice in choices]
            assert {choice["finish_reason"] for choice in choices} == {None}
        else:
            assert response.status_code == 500


@pytest.mark.parametrize("stream", [True, False])
@on_loop
async def test_a_client_that_leaves_cancels_all(stream: bool) -> None:
    async with serving(FakeEngine()) as served:
        writer = await connect_and_ask(served, stream=stream, n=3)
        await wait_for(served.engine.submitted)
        end(served.engine.streams[1], "stop")
        writer.close()
        await until(lambda: all(one.finished for one in served.engine.streams))
        assert served.engine.cancelled_ids == {0, 2}


@on_loop
async def test_scheduling_reaches_the_engine() -> None:
    async with serving() as served:
        await served.post(priority=-2, timeout=7, cache_salt="tenant")
        await served.post()
        first, second = (prepared.options for prepared in served.engine.prepared)
        assert (first.priority, first.timeout_s, first.cache_salt) == (-2, 7.0, "tenant")
        assert (second.priority, second.timeout_s, second.cache_salt) == (0, None, "")


@on_loop
async def test_who_asks_is_the_token_together_with_the_user() -> None:
    async with serving() as served:
        asked = [
            (None, None),
            ("Bearer a", None),
            ("Bearer b", None),
            ("Bearer a", "x"),
            ("Bearer a", "y"),
            (None, "x"),
            ("Bearer a", "x"),
        ]
        for token, user in asked:
            headers = {} if token is None else {"authorization": token}
            fields = {} if user is None else {"user": user}
            await served.client.post(CHAT, json=chat_body(**fields), headers=headers)
        clients = [prepared.options.client for prepared in served.engine.prepared]
        assert clients[0] == ""
        assert len(set(clients)) == 6
        assert clients[3] == clients[6]
        assert not any("Bearer" in client or "x" in client for client in clients)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("kind", "code", "status"), [("timeout", "request_timeout", 408), ("queue_timeout", "queue_timeout", 503)]
)
@on_loop
async def test_timeout(kind: str, code: str, status: int, stream: bool) -> None:
    async with serving(FakeEngine()) as served:
        asking = await ask(served, stream=stream)
        delta(served.engine.streams[0], "partial")
        end(served.engine.streams[0], "error", kind=kind, message="took longer than 2 s")
        response = await asking
        if stream:
            *_, error = events_of(response.text)
            assert error["error"]["code"] == code
            assert error["error"]["message"] == "took longer than 2 s"
        else:
            assert response.status_code == status
            assert response.json()["error"]["code"] == code
            assert response.headers.get("x-should-retry") == ("false" if status == 408 else None)
            assert ("retry-after" in response.headers) == (status == 503)
