"""The chunks of a stream, put together from parts that are encoded once, are what JSON would be."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from llamad import Result, Timings, Usage
from llamad.openai.chat_stream import TextWriter
from llamad.openai.usage import usage_of

TEXTS = ['"', "\\", "\n\n", "\r", "\x00", "data: x", "é", "日本", "🙂", "\u2028", "</script>", "x" * 10_000]


def result(reason: Any = "stop", *, completion: int = 1, cached: int = 0) -> Result:
    return Result("", [], reason, None, Usage(5, completion, cached), Timings(0, 0, 0))


def parsed(events: bytes) -> list[Any]:
    assert events.endswith(b"\n\n")
    lines = events.decode().split("\n\n")[:-1]
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    return [line[6:] if line == "data: [DONE]" else orjson.loads(line[6:]) for line in lines]


@pytest.mark.parametrize("include_usage", [True, False])
def test_every_chunk_is_the_json_it_stands_for(include_usage: bool) -> None:
    writer = TextWriter('na"me', 2, include_usage=include_usage)
    (opening, _) = parsed(writer.first())
    same = {key: opening[key] for key in ("id", "object", "created", "model")}
    same |= {"usage": None} if include_usage else {}

    def chunk(index: int, delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return same | {"choices": [choice]}

    assert same["model"] == 'na"me'
    assert parsed(writer.first()) == [chunk(index, {"role": "assistant", "content": ""}) for index in (0, 1)]
    for text in TEXTS:
        assert parsed(writer.chunks([(1, text, None)])) == [chunk(1, {"content": text})]
    assert parsed(writer.chunks([(0, "", result("length"))])) == [chunk(0, {}, "length")]


def test_what_comes_at_once_is_one_piece() -> None:
    writer = TextWriter("m", 128, include_usage=False)
    steps = [(0, "a", None), (5, "b", result()), (127, "", result("length"))]
    choices = [chunk["choices"][0] for chunk in parsed(writer.chunks(steps))]
    assert [(one["index"], one["delta"], one["finish_reason"]) for one in choices] == [
        (0, {"content": "a"}, None),
        (5, {"content": "b"}, None),
        (5, {}, "stop"),
        (127, {}, "length"),
    ]
    assert writer.chunks([(3, "", None)]) == b""


def test_the_end() -> None:
    results = [result(completion=3, cached=4), result(completion=4, cached=1)]
    counts = usage_of(results, 2)
    assert TextWriter("m", 2, include_usage=False).last(counts) == b"data: [DONE]\n\n"
    usage, done = parsed(TextWriter("m", 2, include_usage=True).last(counts))
    assert done == "[DONE]"
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 12
    assert counts == Usage(prompt_tokens=5, completion_tokens=7, cached_tokens=1)


def test_each_prompt_counts_once() -> None:
    results = [result(cached=4), result(cached=1), result(cached=3), result(cached=2)]
    assert usage_of(results, 2) == Usage(prompt_tokens=10, completion_tokens=4, cached_tokens=3)
