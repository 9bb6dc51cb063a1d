"""Results: how they look, what they become, and that they can be kept."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from llamad.errors import GenerationError
from llamad.results import (
    ChatDelta,
    ChatResult,
    Delta,
    Result,
    Results,
    Timings,
    TokenLogprobs,
    ToolCall,
    Usage,
)
from pydantic import BaseModel

HOSTILE = "<script>alert('x')</script> & \"more\""
LOGPROBS = (TokenLogprobs(5, -0.5, ((5, -0.5), (7, -1.5))),)


class City(BaseModel):
    name: str


def result(text: str = "blue", **values: Any) -> Result:
    given = {"token_ids": [5, 6], "finish_reason": "stop", "stop_string": None} | values
    return Result(text=text, usage=Usage(10, 3, 4), timings=Timings(0.25, 0.5, 2.0), **given)


def chat(text: str = "blue", **values: Any) -> ChatResult:
    message = {"role": "assistant", "content": text}
    given = {"token_ids": [5], "finish_reason": "stop", "stop_string": None, "messages": (message,)} | values
    return ChatResult(text=text, usage=Usage(20, 2, 0), timings=Timings(0.0, 0.5, 1.0), **given)


CALL = ToolCall("call_1", "weather", '{"city": "Rome"}')


class Texts(HTMLParser):
    """What a browser would show, and the tags it would take for tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_repr_is_one_short_line() -> None:
    assert repr(result()) == "Result('blue', stop, 10 + 3 tokens, 1.0 tok/s)"
    assert len(repr(result("word " * 10_000))) < 140
    assert "\n" not in repr(result("two\nlines"))


def test_repr_of_a_chat_tells_its_calls() -> None:
    shown = repr(chat("", tool_calls=(CALL,)))
    assert shown == """ChatResult('', calls weather({"city": "Rome"}), stop, 20 + 2 tokens, 1.0 tok/s)"""
    assert len(repr(chat("", tool_calls=(replace(CALL, arguments="x" * 10_000),)))) < 180


def test_a_rate_needs_two_tokens_and_time() -> None:
    assert result().tokens_per_s == 1.0
    assert replace(result(), usage=Usage(1, 1, 0)).tokens_per_s is None
    assert replace(result(), timings=Timings(0, 0, 0)).tokens_per_s is None


@pytest.mark.parametrize(
    "shown",
    [
        result(HOSTILE),
        chat(HOSTILE),
        chat("", reasoning=HOSTILE),
        chat("", tool_calls=(ToolCall("1", "f", HOSTILE),)),
        Results([result(HOSTILE), chat("", tool_calls=(ToolCall("1", "f", HOSTILE),))]),
        Results([GenerationError(HOSTILE)]),
    ],
    ids=["text", "content", "reasoning", "call", "table", "error"],
)
def test_html_escapes_what_a_model_wrote(shown: Any) -> None:
    read = Texts(shown._repr_html_())
    assert "script" not in read.tags
    assert any(HOSTILE in text for text in read.texts)


def test_html_of_many_is_cut() -> None:
    read = Texts(Results([result(f"text {index} " + "x" * 1000) for index in range(50)])._repr_html_())
    assert read.tags.count("tr") == 1 + 20
    assert any("50 results" in text and "30 more" in text for text in read.texts)
    assert max(map(len, read.texts)) <= 200


def test_to_dict_is_json() -> None:
    told = result(logprobs=LOGPROBS, prompt_logprobs=LOGPROBS, parsed=[City(name="Rome")]).to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["usage"] == {"prompt_tokens": 10, "completion_tokens": 3, "cached_tokens": 4}
    assert told["timings"] == {"queue_s": 0.25, "prefill_s": 0.5, "decode_s": 2.0}
    assert told["logprobs"] == [{"token_id": 5, "logprob": -0.5, "top": [[5, -0.5], [7, -1.5]]}]
    assert told["parsed"] == [{"name": "Rome"}]


def test_to_dict_of_a_chat_has_what_it_adds() -> None:
    told = chat(reasoning="hm", tool_calls=(CALL,)).to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["reasoning"] == "hm"
    assert told["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}
    assert told["messages"] == [{"role": "assistant", "content": "blue"}]


def test_many_are_added_up() -> None:
    results = Results([result(), GenerationError("no"), result("red"), None], elapsed_s=2.0)
    assert results.texts == ["blue", None, "red", None]
    assert results.usage == Usage(20, 6, 8)
    assert results.tokens_per_s == 3.0
    assert Results([result()]).tokens_per_s is None
    assert Results[Result]().usage == Usage(0, 0, 0)


def test_many_are_a_list_and_slices_are_the_same() -> None:
    results = Results([result("a"), result("b"), result("c")], elapsed_s=1.0)
    assert results == [result("a"), result("b"), result("c")]
    assert isinstance(results[1:], Results)
    assert results[1:].texts == ["b", "c"]
    assert results[1:].elapsed_s is None
    assert results[-1].text == "c"


def test_repr_of_many_shows_a_few() -> None:
    shown = repr(Results([result()] * 100, elapsed_s=2.0))
    assert shown.count("Result(") == 3
    assert shown.endswith("… 97 more], 300 tokens, 2.0 s, 150.0 tok/s)")
    assert repr(Results()) == "Results([], 0 tokens)"


def test_to_pandas_has_a_row_for_each() -> None:
    frame = Results(
        [result(), chat(reasoning="hm", tool_calls=(CALL,)), GenerationError("no room")]
    ).to_pandas()
    assert list(frame["text"][:2]) == ["blue", "blue"]
    assert list(frame["prompt_tokens"][:2]) == [10, 20]
    assert frame["reasoning"][1] == "hm"
    assert frame["tool_calls"][1][0]["function"]["name"] == "weather"
    assert frame["error"][2] == "GenerationError: no room"


def test_to_pandas_leaves_out_what_no_row_has() -> None:
    assert "parsed" not in Results([result()]).to_pandas().columns
    assert Results([result(parsed=City(name="Rome"))]).to_pandas()["parsed"][0] == {"name": "Rome"}
    empty = Results[Result]().to_pandas()
    assert len(empty) == 0
    assert "text" in empty.columns


def test_to_pandas_without_pandas_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        Results([result()]).to_pandas()
    assert Results([result(), GenerationError("no")]).to_dicts()[1] == {"error": "GenerationError: no"}


@pytest.mark.parametrize(
    "kept",
    [
        result(logprobs=LOGPROBS, parsed=City(name="Rome")),
        chat(tool_calls=(CALL,)),
        Delta("a", [1]),
        ChatDelta("a", [1], LOGPROBS, "hm"),
        Results([result(), chat()], elapsed_s=1.5),
    ],
)
def test_results_can_be_pickled_and_copied(kept: Any) -> None:
    for again in (pickle.loads(pickle.dumps(kept)), copy.deepcopy(kept)):
        assert again == kept
        assert type(again) is type(kept)
        assert getattr(again, "elapsed_s", None) == getattr(kept, "elapsed_s", None)


def test_results_are_frozen() -> None:
    with pytest.raises(AttributeError):
        result().text = "other"  # type: ignore[misc]


@pytest.mark.parametrize("arguments", ['{"city": "Ro', "[1]", '"text"', "{} {}", '{"city":' + "[" * 9999])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    with pytest.raises(ValueError, match="the arguments of 'weather' are not"):
        _ = replace(CALL, arguments=arguments).parsed_arguments


def test_arguments_are_parsed() -> None:
    assert CALL.parsed_arguments == {"city": "Rome"}
    assert replace(CALL, arguments="").parsed_arguments == {}
