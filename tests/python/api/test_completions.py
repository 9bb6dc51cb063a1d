"""`POST /v1/completions` around a fake engine: what reaches it, and what becomes of what it says."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson
import pytest
from llamad import errors
from llamad.results import NativeLogprobs

from .fakes import PROMPT, FakeEngine, end, finish
from .harness import Served, events_of, on_loop, serving, wait_for

COMPLETIONS = "/v1/completions"
SHAPE = {"id", "object", "created", "model", "choices"}


async def post(served: Served, **fields: Any) -> httpx.Response:
    return await served.client.post(COMPLETIONS, json={"model": "tiny", "prompt": "Once"} | fields)


def choice(index: int, text: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason} | more


def push(stream: Any, text: str, scored: NativeLogprobs | None = None) -> None:
    """Let a token for each character arrive; the fake's tokens are bytes."""
    stream.push(text, list(text.encode()), scored, None)


@on_loop
async def test_whole() -> None:
    async with serving(FakeEngine(texts=[" upon", " a time"])) as served:
        body = (await post(served)).json()
        assert set(body) == SHAPE | {"usage"}
        assert body["id"].startswith("cmpl-")
        assert (body["object"], body["model"]) == ("text_completion", "tiny")
        assert body["choices"] == [choice(0, " upon a time", "stop")]
        assert body["usage"]["prompt_tokens"] == 5
        (prepared,) = served.engine.prepared
        assert (prepared.prompt, prepared.n, prepared.stream) == ("Once", 1, False)
        assert prepared.params.max_tokens == 16


@pytest.mark.parametrize(
    ("prompt", "prompts"), [([3, 4], [[3, 4]]), (["a", "b"], ["a", "b"]), ([[3], [4, 5]], [[3], [4, 5]])]
)
@on_loop
async def test_choices_are_ordered_by_prompt(prompt: Any, prompts: list[Any]) -> None:
    async with serving(FakeEngine()) as served:
        answer = asyncio.create_task(post(served, prompt=prompt, n=2, seed=7))
        await wait_for(served.engine.submitted)
        assert [(one.prompt, one.n, one.params.seed) for one in served.engine.prepared] == [
            (prompt, 2, 7) for prompt in prompts
        ]
        for number, stream in reversed(list(enumerate(served.engine.streams))):
            push(stream, f"text {number}")
            end(stream, "length")
        body = (await answer).json()
        n_choices = 2 * len(prompts)
        assert body["choices"] == [choice(index, f"text {index}", "length") for index in range(n_choices)]
        assert body["usage"]["prompt_tokens"] == 5 * len(prompts)


@on_loop
async def test_best_of_returns_the_likeliest_of_each_prompt() -> None:
    async with serving(FakeEngine()) as served:
        answer = asyncio.create_task(post(served, prompt=["a", "b"], n=1, best_of=2))
        await wait_for(served.engine.submitted)
        assert [(one.n, one.params.logprobs) for one in served.engine.prepared] == [(2, 0), (2, 0)]
        for stream, logprob in zip(served.engine.streams, (-1.0, -0.5, -0.1, -2.0), strict=True):
            push(stream, "x", [(1, logprob, [])])
            stream.push("", [], None, finish("stop", completion=1))
        body = (await answer).json()
        assert [one["index"] for one in body["choices"]] == [0, 1]
        assert [one["logprobs"] for one in body["choices"]] == [None, None]
        assert body["usage"]["completion_tokens"] == 4  # all were generated
        assert body["usage"]["prompt_tokens"] == 10


@on_loop
async def test_echo_scores_the_prompt() -> None:
    async with serving(FakeEngine()) as served:
        answer = asyncio.create_task(post(served, prompt=PROMPT, echo=True, logprobs=1))
        await wait_for(served.engine.submitted)
        (prepared,), (stream,) = served.engine.prepared, served.engine.streams
        assert (prepared.params.logprobs, prepared.params.prompt_logprobs) == (1, 1)
        said = bytes(PROMPT).decode()
        push(stream, "!", [(ord("!"), -0.25, [(ord("?"), -0.125)])])
        ended = finish("stop", completion=1)
        ended.prompt_logprobs = [(token, -1.0, [(token, -1.0)]) for token in PROMPT[1:]]
        stream.push("", [], None, ended)
        (told,) = (await answer).json()["choices"]
        assert told["text"] == f"{said}!"
        assert told["logprobs"]["tokens"] == [*said, "!"]
        assert told["logprobs"]["token_logprobs"] == [None, *[-1.0] * (len(said) - 1), -0.25]
        assert told["logprobs"]["text_offset"] == list(range(len(said) + 1))
        assert told["logprobs"]["top_logprobs"][-1] == {"?": -0.125, "!": -0.25}


@on_loop
async def test_suffix_fills_in_the_middle() -> None:
    async with serving() as served:
        assert (await post(served, prompt=["a", "b"], suffix="end")).status_code == 200
        assert [(one.prefix, one.suffix) for one in served.engine.prepared] == [("a", "end"), ("b", "end")]


@on_loop
async def test_streams_of_several_prompts_and_choices() -> None:
    async with serving(FakeEngine(texts=["x", "y"])) as served:
        response = await post(
            served, prompt=["a", "b", "c"], n=2, stream=True, stream_options={"include_usage": True}
        )
        assert response.headers["content-type"].startswith("text/event-stream")
        *chunks, usage, sentinel = events_of(response.text)
        assert sentinel == "[DONE]"
        assert usage["choices"] == []
        assert usage["usage"]["prompt_tokens"] == 15
        assert usage["usage"]["completion_tokens"] == 12
        assert all(set(chunk) == SHAPE | {"usage"} and chunk["usage"] is None for chunk in chunks)
        assert len({chunk["id"] for chunk in chunks}) == 1
        for index in range(6):
            own = [one for chunk in chunks for one in chunk["choices"] if one["index"] == index]
            assert "".join(one["text"] for one in own) == "xy"
            assert [one["finish_reason"] for one in own if one["finish_reason"]] == ["stop"]


@on_loop
async def test_a_stream_begins_with_the_prompts_that_are_echoed() -> None:
    async with serving(FakeEngine(texts=["x"])) as served:
        response = await post(served, prompt=["a", "b"], n=2, echo=True, stream=True, return_token_ids=True)
        chunks = [chunk["choices"][0] for chunk in events_of(response.text)[:-1]]
        assert chunks[:4] == [
            choice(index, "aabb"[index], prompt_token_ids=PROMPT, token_ids=[]) for index in range(4)
        ]
        assert [(one["text"], one["token_ids"]) for one in chunks[4:]] == [("x", [1])] * 4


@on_loop
async def test_streamed_logprobs_go_with_their_text() -> None:
    async with serving(FakeEngine()) as served:
        answer = asyncio.create_task(post(served, stream=True, logprobs=0, return_token_ids=True))
        await wait_for(served.engine.submitted)
        (stream,) = served.engine.streams
        push(stream, "a", [(ord("a"), -1.0, [])])
        stream.push("", [ord("b")], [(ord("b"), -2.0, [])], None)  # held back: a stop string may begin here
        push(stream, "b", [])
        stream.push("", [0], [(0, -3.0, [])], finish("stop", completion=3))
        chunks = [chunk["choices"][0] for chunk in events_of((await answer).text)[:-1]]
        assert "".join(one["text"] for one in chunks) == "ab"
        told = [one["logprobs"] for one in chunks if one["logprobs"]]
        assert [token for one in told for token in one["tokens"]] == ["a", "b", "\0"]
        assert [value for one in told for value in one["token_logprobs"]] == [-1.0, -2.0, -3.0]
        assert [offset for one in told for offset in one["text_offset"]] == [0, 1, 2]


@on_loop
async def test_token_counts_in_every_chunk() -> None:
    async with serving(FakeEngine(texts=["x", "y"])) as served:
        options = {"include_usage": True, "continuous_usage_stats": True}
        response = await post(served, prompt=["a", "b"], stream=True, stream_options=options)
        chunks = events_of(response.text)[:-1]
        counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
        assert counts == sorted(counts)
        assert counts[-1] == 4
        assert all(chunk["usage"]["prompt_tokens"] == 2 * len(PROMPT) for chunk in chunks[:-1])


@pytest.mark.parametrize(("prompt", "param"), [("a", "prompt"), (["a"], "prompt"), (["a", "b"], "prompt[0]")])
@on_loop
async def test_the_prompt_to_blame_is_named(prompt: Any, param: str) -> None:
    async with serving(FakeEngine(prepare_error=errors.ContextLengthError("too long"))) as served:
        response = await post(served, prompt=prompt)
        assert response.status_code == 400
        told = response.json()["error"]
        assert (told["code"], told["param"]) == ("context_length_exceeded", param)
        assert served.engine.streams == []


@on_loop
async def test_a_grammar_that_fails_is_blamed_on_the_field_that_asked_for_it() -> None:
    async with serving(FakeEngine(prepare_error=errors.GrammarError("no"))) as served:
        response = await post(served, guided_choice=["a"])
        assert response.json()["error"]["param"] == "guided_choice"


@pytest.mark.parametrize("stream", [True, False])
@on_loop
async def test_one_failure_cancels_the_rest(stream: bool) -> None:
    async with serving(FakeEngine()) as served:
        answer = asyncio.create_task(post(served, prompt=["a", "b"], n=2, stream=stream))
        await wait_for(served.engine.submitted)
        failing = served.engine.streams[1]
        end(failing, "error", kind="generation_failed", message="secret")
        response = await answer
        error = events_of(response.text)[-1] if stream else response.json()
        assert error["error"]["code"] == "generation_failed"
        assert served.engine.cancelled_ids == {0, 2, 3}
        assert "secret" not in response.text


@pytest.mark.parametrize("stream", [True, False])
@on_loop
async def test_full_queue(stream: bool) -> None:
    refusal = errors.QueueFullError("full")
    async with serving(FakeEngine(submit_error=refusal)) as served:
        response = await post(served, prompt=["a", "b"], stream=stream)
        assert response.status_code == 429
        assert "retry-after" in response.headers


@on_loop
async def test_scheduling_reaches_every_prompt() -> None:
    async with serving() as served:
        await post(served, prompt=["a", "b"], priority=-2, cache_salt="s", timeout=5)
        for prepared in served.engine.prepared:
            options = prepared.options
            assert (options.priority, options.cache_salt, options.timeout_s) == (-2, "s", 5)


@on_loop
async def test_unknown_fields_are_ignored() -> None:
    async with serving() as served:
        response = await served.client.post(
            COMPLETIONS, content=orjson.dumps({"model": "tiny", "prompt": "x", "messages": 5, "frob": []})
        )
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"n": 9}, "n"), ({"best_of": 9}, "best_of"), ({"prompt": ["x"] * 9}, "prompt")],
)
@on_loop
async def test_more_texts_than_can_ever_run_are_blamed_on_what_asks_for_them(
    fields: dict[str, Any], param: str
) -> None:
    refusal = errors.ParameterError("n must be at most 8, got 9", param="n")
    async with serving(FakeEngine(submit_error=refusal)) as served:
        response = await post(served, **fields)
        assert response.status_code == 400
        assert response.json()["error"]["param"] == param
        assert "9" in response.json()["error"]["message"]
