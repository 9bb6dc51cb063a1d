"""The wire formats of `/v1/embeddings` and `/v1/rerank`."""

from __future__ import annotations

import base64
import json
from array import array
from typing import Any

import pytest
from llamad.embeddings import Embeddings, Ranking
from llamad.errors import ParameterError, RequestError
from llamad.openai.embeddings import check_dimensions, embedding_list, parse_embedding, shortened
from llamad.openai.rerank import parse_rerank, ranking


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m"} | fields).encode()


def vector(*values: float) -> memoryview[float]:
    return memoryview(array("f", values).tobytes()).cast("f")


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ("a", ("a",)),
        ("", ("",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ([1, 2],)),
        ([[1], [2, 3]], ([1], [2, 3])),
    ],
)
def test_every_form_of_input(given: Any, parsed: tuple[Any, ...]) -> None:
    request = parse_embedding(body(input=given))
    assert (request.inputs, request.encoding_format, request.dimensions) == (parsed, "float", None)


@pytest.mark.parametrize(
    "given", [None, 1, True, {}, [], [None], ["a", 1], [1, True], [[]], [[1], "a"], [1.5]]
)
def test_no_input(given: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_embedding(body(input=given))
    assert caught.value.param is not None
    assert caught.value.param.startswith("input")


@pytest.mark.parametrize("given", [b"", b"[]", b'{"model": "m"'])
def test_no_object(given: bytes) -> None:
    for parse in (parse_embedding, parse_rerank):
        with pytest.raises(RequestError):
            parse(given)


def test_the_answer() -> None:
    embeddings = Embeddings((vector(0.6, 0.8), vector(1, 0)), (3, 4))
    answer = json.loads(embedding_list(parse_embedding(body(input=["a", "b"])), embeddings))
    first, second = answer.pop("data")
    assert answer == {"object": "list", "model": "m", "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    assert (first["object"], first["index"]) == ("embedding", 0)
    assert first["embedding"] == pytest.approx([0.6, 0.8])
    assert second == {"object": "embedding", "index": 1, "embedding": [1.0, 0.0]}


def test_base64_holds_the_same_numbers() -> None:
    request = parse_embedding(body(input="a", encoding_format="base64"))
    answer = json.loads(embedding_list(request, Embeddings((vector(0.6, 0.8),), (3,))))
    decoded = memoryview(base64.b64decode(answer["data"][0]["embedding"])).cast("f")
    assert decoded.tolist() == vector(0.6, 0.8).tolist()


def test_dimensions_cut_and_normalize() -> None:
    assert shortened(vector(3, 4, 12), 2).tolist() == pytest.approx([0.6, 0.8])
    assert shortened(vector(0, 0, 1), 2).tolist() == [0, 0]
    request = parse_embedding(body(input="a", dimensions=1))
    answer = json.loads(embedding_list(request, Embeddings((vector(0.6, 0.8),), (3,))))
    assert answer["data"][0]["embedding"] == [1.0]


def test_no_more_dimensions_than_there_are() -> None:
    check_dimensions(None, 8)
    check_dimensions(8, 8)
    with pytest.raises(ParameterError, match="at most 8") as caught:
        check_dimensions(9, 8)
    assert caught.value.param == "dimensions"


def test_a_ranking_is_sorted_and_cut() -> None:
    scored = Ranking((0.5, 2.0, -1.0, 2.0), (5, 6, 7, 8))
    asked = {"query": "q", "documents": ["a", {"text": "b"}, "c", "d"]}
    answer = json.loads(ranking(parse_rerank(body(**asked)), scored))
    assert answer["results"] == [
        {"index": 1, "relevance_score": 2.0},
        {"index": 3, "relevance_score": 2.0},
        {"index": 0, "relevance_score": 0.5},
        {"index": 2, "relevance_score": -1.0},
    ]
    assert answer["usage"] == {"prompt_tokens": 26, "total_tokens": 26}
    some = json.loads(ranking(parse_rerank(body(**asked, top_n=1, return_documents=True)), scored))
    assert some["results"] == [{"index": 1, "relevance_score": 2.0, "document": {"text": "b"}}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"documents": ["a"]}, "query"),
        ({"query": "q"}, "documents"),
        ({"query": "q", "documents": "a"}, "documents"),
        ({"query": "q", "documents": []}, "documents"),
        ({"query": "q", "documents": ["a"] * 2049}, "documents"),
        ({"query": "q", "documents": ["a", {"title": "b"}]}, "documents[1].text"),
        ({"query": "q", "documents": ["a"], "top_n": -1}, "top_n"),
    ],
)
def test_no_ranking(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_rerank(body(**fields))
    assert caught.value.param == param
