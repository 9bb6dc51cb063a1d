"""The plugin of the `llm` tool: in Python, and from its command line, with models of the model directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import llm
import numpy as np
import pytest
from llamad import Embedder, Engine
from llamad.integrations import llm as plugin

from tests.python.support.tiny_embedders import write_embedder
from tests.python.support.tiny_gguf import ENDLESS_N_CTX, TinyModel, write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

QUESTION = "What is the capital of Japan?"
LIMITS: dict[str, Any] = {"temperature": 0, "max_tokens": 16}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder / "tiny.gguf", TinyModel(n_ctx_train=ENDLESS_N_CTX))
    write_embedder("mean", folder / "tiny-embedder.gguf")
    write_embedder("rank", folder / "tiny-ranker.gguf")
    (folder / "damaged.gguf").write_bytes(b"no model")
    return folder


@pytest.fixture(autouse=True)
def surroundings(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LLAMAD_MODEL_DIRECTORY", str(directory))
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    # With all of its cores a small machine under test is slower.
    for kind in (Engine, Embedder):
        monkeypatch.setattr(kind, "from_pretrained", partial(kind.from_pretrained, n_threads=1))
    yield
    for cache in (plugin._engine, plugin._embedder):
        cache.cache_clear()  # which frees the models


def test_models_are_listed_by_what_they_do() -> None:
    names = {model.model_id for model in llm.get_models() if model.model_id.startswith("llamad/")}
    assert names == {"llamad/smollm2", "llamad/tiny"}  # of the catalog, and of the directory
    embedders = {model.model_id for model in llm.get_embedding_models()}
    assert {"llamad/minilm", "llamad/tiny-embedder"} <= embedders
    assert "llamad/tiny-ranker" not in embedders


@pytest.mark.parametrize("stream", [True, False])
def test_answers_are_those_of_the_engine(directory: Path, stream: bool) -> None:
    response = llm.get_model("llamad/tiny").prompt(QUESTION, stream=stream, **LIMITS)
    pieces = list(response)
    with Engine(directory / "tiny.gguf", n_parallel=1, n_threads=1) as engine:
        expected = engine.chat(QUESTION, **LIMITS)
    assert "".join(pieces) == expected.text
    assert stream or len(pieces) == 1
    assert response.usage().input == expected.usage.prompt_tokens
    assert response.usage().output == expected.usage.completion_tokens


def test_a_conversation_remembers_and_has_a_system_prompt(directory: Path) -> None:
    conversation = llm.get_model("llamad/tiny").conversation()
    first = conversation.prompt("My name is Ada.", system="Be brief.", **LIMITS).text()
    second = conversation.prompt("What is my name?", **LIMITS).text()
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "What is my name?"},
    ]
    with Engine(directory / "tiny.gguf", n_parallel=1, n_threads=1) as engine:
        assert second == engine.chat(messages, **LIMITS).text


def test_schemas_are_enforced() -> None:
    properties = {"name": {"enum": ["Ada", "Bob"]}, "old": {"type": "boolean"}}
    schema = {"type": "object", "properties": properties, "required": ["name", "old"]}
    response = llm.get_model("llamad/tiny").prompt("Ada is 36", schema=schema, temperature=0)
    assert set(json.loads(response.text())) == {"name", "old"}


def test_leaving_a_stream_early_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = partial(Engine.from_pretrained, n_ctx=ENDLESS_N_CTX)
    monkeypatch.setattr(Engine, "from_pretrained", endless)
    model = llm.get_model("llamad/tiny")
    pieces = iter(model.prompt("Hello"))
    next(pieces)
    del pieces
    engine = plugin._engine("tiny")
    # One slot: an answer means that the stream is gone, which would run for minutes.
    assert engine.submit("Hello", max_tokens=1).result(60).usage.completion_tokens == 1


def test_an_option_out_of_range_is_told() -> None:
    with pytest.raises(ValueError, match="top_p"):
        llm.get_model("llamad/tiny").prompt("Hello", top_p=3).text()


def test_vectors_are_those_of_the_embedder(directory: Path) -> None:
    texts = ["the cat sat", "the dog ran"]
    vectors = list(llm.get_embedding_model("llamad/tiny-embedder").embed_multi(texts))
    with Embedder(directory / "tiny-embedder.gguf", n_threads=1) as embedder:
        np.testing.assert_allclose(vectors, embedder.embed(texts), atol=2e-3)


def test_the_command_line_finds_the_plugin(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "llm", "-m", "llamad/tiny", "Hello", "--no-log"]
    done = subprocess.run(
        [*command, "-o", "max_tokens", "4", "-o", "temperature", "0"],
        env=os.environ | {"LLM_USER_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
