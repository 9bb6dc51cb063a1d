"""`/v1/embeddings` and `/v1/rerank` over HTTP: the official client, all-MiniLM-L6-v2, and tiny models."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import openai
import pytest

from tests.python.support.server_process import ONE_THREAD, REQUEST_TIMEOUT_S, ServerProcess, serving
from tests.python.support.tiny_embedders import N_CTX, WIDTH, write_embedder
from tests.python.support.tiny_gguf import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai import AsyncOpenAI

pytestmark = pytest.mark.timeout(300)

MINILM = "all-MiniLM-L6-v2.F16"
WORDS = (
    "a",
    "cat",
    "sat",
    "on",
    "the",
    "mat",
    "and",
    "looked",
    "at",
    "rain",
    "while",
    "kettles",
    "sang",
    "tea",
)


@pytest.fixture(scope="module")
def minilm_server(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    with serving(minilm.parent, *ONE_THREAD, log_path=log_path) as server:
        yield server


@pytest.fixture(scope="module")
def kinds_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A directory with a model of each kind: "writer", "embedder", "ranker"."""
    directory = tmp_path_factory.mktemp("kinds")
    write_tiny_model(directory / "writer.gguf")
    write_embedder("mean", directory / "embedder.gguf")
    write_embedder("rank", directory / "ranker.gguf")
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    flags = ("--n-ctx", "512", "--max-queue", "8", *ONE_THREAD)
    with serving(directory, *flags, log_path=log_path) as server:
        yield server


def texts(count: int, seed: int = 0) -> list[str]:
    """Texts of 1 to 60 words."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 60))) for _ in range(count)]


def vectors(response: openai.types.CreateEmbeddingResponse) -> Any:
    assert [entry.index for entry in response.data] == list(range(len(response.data)))
    return np.array([entry.embedding for entry in response.data])


def post(server: ServerProcess, path: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(server.url + path, json=body, timeout=REQUEST_TIMEOUT_S, trust_env=False)


def test_float_and_base64_are_the_same_numbers(minilm_server: ServerProcess) -> None:
    with minilm_server.client() as client:
        plain = client.embeddings.create(model=MINILM, input=["cat", "dog"], encoding_format="float")
        default = client.embeddings.create(model=MINILM, input=["cat", "dog"])  # the client asks for base64
    assert vectors(plain).shape == (2, 384)
    np.testing.assert_array_equal(vectors(plain).astype(np.float32), vectors(default).astype(np.float32))
    assert plain.usage.prompt_tokens == plain.usage.total_tokens == 6
    raw = post(
        minilm_server, "/v1/embeddings", {"model": MINILM, "input": "cat", "encoding_format": "base64"}
    )
    decoded = np.frombuffer(base64.b64decode(raw.json()["data"][0]["embedding"]), dtype="<f4")
    np.testing.assert_allclose(decoded, vectors(plain)[0], atol=1e-3)


def test_texts_are_tokenized_as_they_are_embedded(minilm_server: ServerProcess) -> None:
    tokens = post(minilm_server, "/tokenize", {"model": MINILM, "content": "cat", "add_special": True}).json()
    assert tokens == {"tokens": [101, 4937, 102]}
    counted = post(minilm_server, "/tokenize", {"model": MINILM, "prompt": "cat"}).json()
    assert (counted["count"], counted["max_model_len"]) == (3, 512)
    assert (
        post(minilm_server, "/detokenize", {"model": MINILM, "tokens": [4937]}).json()["content"].strip()
        == "cat"
    )
    for field, text in (("with_pieces", "content"), ("return_token_strs", "prompt")):
        refused = post(minilm_server, "/tokenize", {"model": MINILM, text: "cat", field: True})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)


def test_every_form_of_input(minilm_server: ServerProcess) -> None:
    cat, dog = [101, 4937, 102], [101, 3899, 102]
    with minilm_server.client() as client:
        answers = [
            vectors(client.embeddings.create(model=MINILM, input=given))
            for given in ("cat", ["cat", "dog"], cat, [cat, dog])
        ]
    assert [len(answer) for answer in answers] == [1, 2, 1, 2]
    for answer in answers:
        np.testing.assert_allclose(answer, answers[1][: len(answer)], atol=1e-3)


def test_dimensions_shorten_and_normalize(minilm_server: ServerProcess) -> None:
    with minilm_server.client() as client:
        whole = vectors(client.embeddings.create(model=MINILM, input="cat"))[0]
        for options in ({}, {"encoding_format": "float"}):
            given: Any = options
            short = client.embeddings.create(model=MINILM, input="cat", dimensions=64, **given)
            expected = whole[:64] / np.linalg.norm(whole[:64])
            np.testing.assert_allclose(vectors(short)[0], expected, atol=1e-5)


def test_two_hundred_mixed_lengths_in_one_request(minilm_server: ServerProcess) -> None:
    inputs = texts(200)
    with minilm_server.client() as client:
        answer = client.embeddings.create(model=MINILM, input=inputs)
        alone = [client.embeddings.create(model=MINILM, input=inputs[index]) for index in (0, 99, 199)]
    assert vectors(answer).shape == (200, 384)
    for one, index in zip(alone, (0, 99, 199), strict=True):
        np.testing.assert_allclose(vectors(one)[0], vectors(answer)[index], atol=2e-3)


def test_twenty_clients_at_once(minilm_server: ServerProcess) -> None:
    inputs = [texts(10, seed) for seed in range(20)]

    async def ask_all() -> list[Any]:
        async with minilm_server.async_client() as client:
            answers = await asyncio.gather(
                *(client.embeddings.create(model=MINILM, input=some) for some in inputs)
            )
        return [vectors(answer) for answer in answers]

    before = minilm_server.metric("llamad_decode_calls_total")
    together = asyncio.run(ask_all())
    n_batches = minilm_server.metric("llamad_decode_calls_total") - before
    with minilm_server.client() as client:
        for some, answer in list(zip(inputs, together, strict=True))[::7]:
            alone = vectors(client.embeddings.create(model=MINILM, input=some))
            np.testing.assert_allclose(answer, alone, atol=2e-3)
    assert n_batches < 200, "inputs are computed in batches"


def test_a_long_input_works_and_a_too_long_one_is_refused(minilm_server: ServerProcess) -> None:
    with minilm_server.client() as client:
        assert client.embeddings.create(model=MINILM, input="cat " * 510).usage.prompt_tokens == 512
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model=MINILM, input=["cat", "cat " * 511])
    assert (caught.value.param, caught.value.code) == ("input", "context_length_exceeded")
    assert "input[1] has 513 tokens" in caught.value.message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": {}}, "input"),
        ({"input": [["a"]]}, "input[0]"),
        ({"input": [1, "a"]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [10**6]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": WIDTH + 1}, "dimensions"),
        ({"input": "a", "dimensions": "8"}, "dimensions"),
        ({"input": "a", "user": 1}, "user"),
        ({"input": "a", "model": "writer"}, "model"),
        ({"input": "a", "model": "ranker"}, "model"),
    ],
)
def test_wrong_requests_name_the_field(kinds_server: ServerProcess, body: dict[str, Any], param: str) -> None:
    response = post(kinds_server, "/v1/embeddings", {"model": "embedder"} | body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def test_unknown_model_and_unknown_fields(kinds_server: ServerProcess) -> None:
    assert post(kinds_server, "/v1/embeddings", {"model": "nobody", "input": "a"}).status_code == 404
    assert post(kinds_server, "/embeddings", {"model": "embedder", "input": "a", "x": 1}).status_code == 200


def test_a_model_says_what_it_can_do(kinds_server: ServerProcess) -> None:
    hello: Any = [{"role": "user", "content": "hello"}]
    with kinds_server.client() as client:
        for model, does in (("embedder", "it embeds"), ("ranker", "it reranks")):
            with pytest.raises(openai.BadRequestError, match=does) as caught:
                client.chat.completions.create(model=model, messages=hello)
            assert caught.value.param == "model"
        with pytest.raises(openai.BadRequestError, match="it generates text"):
            client.embeddings.create(model="writer", input="a")
        listed = {model.id: model.model_dump()["capabilities"] for model in client.models.list()}
    assert listed["embedder"] == ["embed"]
    assert listed["ranker"] == ["rerank"]
    assert "completion" in listed["writer"]


def test_ranking(kinds_server: ServerProcess) -> None:
    documents = ["the dog ran", {"text": "the cat sat"}, "zebra", "a"]
    body = {"model": "ranker", "query": "the cat", "documents": documents}
    answer = post(kinds_server, "/v1/rerank", body).json()
    results = answer["results"]
    assert sorted(result["index"] for result in results) == [0, 1, 2, 3]
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4
    assert "document" not in results[0]
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0

    some = post(kinds_server, "/rerank", body | {"top_n": 2, "return_documents": True}).json()["results"]
    assert [result["index"] for result in some] == [result["index"] for result in results[:2]]
    plain = ["the dog ran", "the cat sat", "zebra", "a"]
    assert [result["document"] for result in some] == [{"text": plain[result["index"]]} for result in some]
    assert len(post(kinds_server, "/v1/reranking", body | {"top_n": 99}).json()["results"]) == 4


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"documents": ["a"]}, "query"),
        ({"query": "a"}, "documents"),
        ({"query": "a", "documents": []}, "documents"),
        ({"query": "a", "documents": ["a", 1]}, "documents[1]"),
        ({"query": "a", "documents": [{"body": "a"}]}, "documents[0].text"),
        ({"query": 1, "documents": ["a"]}, "query"),
        ({"query": "a", "documents": ["a"], "top_n": 0}, "top_n"),
        ({"query": "a", "documents": ["a"], "return_documents": 1}, "return_documents"),
        ({"query": "a", "documents": ["a b " * N_CTX]}, "documents"),
        ({"query": "a", "documents": ["a"], "model": "embedder"}, "model"),
        ({"query": "a", "documents": ["a"], "model": "writer"}, "model"),
    ],
)
def test_wrong_rankings_name_the_field(kinds_server: ServerProcess, body: dict[str, Any], param: str) -> None:
    response = post(kinds_server, "/v1/rerank", {"model": "ranker"} | body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


@asynccontextmanager
async def long_request(server: ServerProcess, client: AsyncOpenAI) -> AsyncIterator[asyncio.Task[Any]]:
    """A request at work that takes a minute, and that its client leaves."""
    asking = asyncio.create_task(client.embeddings.create(model=MINILM, input=["cat " * 500] * 1000))
    await asyncio.to_thread(server.wait_for_metric, "llamad_num_requests_running", lambda count: count == 1)
    yield asking
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()


def test_a_client_that_leaves_takes_its_request_with_it(minilm_server: ServerProcess) -> None:
    async def scenario() -> None:
        async with minilm_server.async_client() as client, long_request(minilm_server, client):
            pass

    asyncio.run(scenario())
    minilm_server.wait_until_idle()
    assert minilm_server.metric("llamad_request_success_total", finished_reason="abort") == 1
    with minilm_server.client() as client:
        assert client.embeddings.create(model=MINILM, input="cat").usage.prompt_tokens == 3


def test_a_short_request_overtakes_a_long_one(minilm_server: ServerProcess) -> None:
    async def scenario() -> tuple[bool, int]:
        async with minilm_server.async_client() as client:
            async with long_request(minilm_server, client) as long:
                await client.embeddings.create(model=MINILM, input="cat")
                overtook = not long.done()
            both = [client.embeddings.create(model=MINILM, input=["cat " * 200] * n) for n in (40, 1)]
            overtaken, _ = await asyncio.gather(*both)
            return overtook, len(overtaken.data)

    assert asyncio.run(scenario()) == (True, 40)
