"""Embeddings through the official Python client and through LangChain."""

from __future__ import annotations

import math
from operator import mul
from typing import TYPE_CHECKING

import openai
import pytest

from tests.python.support.server_process import ONE_THREAD, ServerProcess, serving

from .documented import run_python, snippets
from .placed import place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

TEXTS = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]


@pytest.fixture(scope="module")
def embedding_server(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of all-MiniLM-L6-v2 alone."""
    directory = tmp_path_factory.mktemp("models")
    place(minilm, directory)
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    with serving(directory, *ONE_THREAD, log_path=log_path) as server:
        yield server


@pytest.fixture
def client(embedding_server: ServerProcess) -> Iterator[openai.OpenAI]:
    with embedding_server.client() as client:
        yield client


@pytest.fixture
def model(client: openai.OpenAI) -> str:
    (only,) = client.models.list()
    return only.id


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(map(mul, one, other)) / math.hypot(*one) / math.hypot(*other)


def test_similar_texts_are_near(client: openai.OpenAI, model: str) -> None:
    answer = client.embeddings.create(model=model, input=TEXTS)
    assert [item.index for item in answer.data] == [0, 1, 2]
    lovely, sunny, stadium = (item.embedding for item in answer.data)
    assert len(lovely) == 384
    assert math.hypot(*lovely) == pytest.approx(1, abs=1e-4)
    assert cosine(lovely, sunny) > 0.5 > cosine(lovely, stadium)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 10


def test_encodings_carry_the_same_numbers(client: openai.OpenAI, model: str) -> None:
    # Unasked, the client asks for base64 and decodes it.
    decoded = client.embeddings.create(model=model, input=TEXTS[0]).data[0].embedding
    plain = client.embeddings.create(model=model, input=TEXTS[0], encoding_format="float").data[0].embedding
    assert plain == pytest.approx(decoded, abs=1e-5)


def test_dimensions_that_cannot_be_had_are_refused(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=model, input=TEXTS[0], dimensions=100_000)
    assert caught.value.param == "dimensions"


def test_an_embedding_model_does_not_chat(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.param == "model"


def test_the_documented_langchain_snippet_runs(embedding_server: ServerProcess) -> None:
    variables = run_python(snippets("LangChain", "python", embedding_server.url)[1])
    vectors = variables["vectors"]
    assert [len(vector) for vector in vectors] == [384, 384]
