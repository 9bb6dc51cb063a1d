"""`llamad.Embedder` with tiny models: what it returns, and in whose memory."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import TYPE_CHECKING, Any

import llamad
import numpy as np
import pytest
from llamad import Embedder

from tests.python.support.tiny_embedders import CLS, N_CTX, SEP, WIDTH, Bert, write_embedder
from tests.python.support.tiny_gguf import SMOLLM2_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

TEXTS = ["the cat sat on the mat", "the dog ran", "a", "zebra", "the cat sat on the mat and the dog ran on"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("embedders")
    return {kind: write_embedder(kind, folder / f"{kind}.gguf") for kind in ("mean", "rank")}


@pytest.fixture(scope="module")
def embedder(models: dict[str, Path]) -> Iterator[Embedder]:
    with Embedder(models["mean"], n_threads=1) as embedder:
        yield embedder


def memory_of(array: Any) -> Any:
    """What an array's numbers belong to: the first thing below all the views that is none itself."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


def test_vectors_are_what_the_model_computes(embedder: Embedder, models: dict[str, Path]) -> None:
    bert = Bert(models["mean"])
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), WIDTH)
    for text, vector in zip(TEXTS, vectors, strict=True):
        tokens = embedder.tokenize(text)
        assert (tokens[0], tokens[-1]) == (CLS, SEP)
        np.testing.assert_allclose(vector, bert.embedding(tokens, "mean"), atol=2e-3)


def test_one_text_gives_one_vector(embedder: Embedder) -> None:
    vector = embedder.embed(TEXTS[0])
    assert vector.shape == (WIDTH,)
    np.testing.assert_allclose(vector, embedder.embed(TEXTS)[0], atol=2e-3)


def test_inputs_may_be_tokens_or_come_from_a_generator(embedder: Embedder) -> None:
    expected = embedder.embed(TEXTS)
    of_tokens = embedder.embed(embedder.tokenize(text) for text in TEXTS)
    np.testing.assert_allclose(of_tokens, expected, atol=2e-3)
    assert embedder.embed([]).shape == (0, WIDTH)
    assert embedder.embed(iter(())).dtype == np.float32


def test_nothing_is_copied_and_the_memory_outlives_the_embedder(models: dict[str, Path]) -> None:
    with Embedder(models["mean"], n_threads=1) as embedder:
        vectors = embedder.embed(TEXTS)
        before = vectors.copy()
        row = embedder.embed(TEXTS)[1]
    assert type(memory_of(vectors)).__module__ == "llamad._engine"
    assert not vectors.flags.owndata
    assert vectors.flags.c_contiguous
    assert vectors.flags.writeable
    del embedder
    gc.collect()
    np.testing.assert_array_equal(vectors, before)
    np.testing.assert_array_equal(row, before[1])


def test_ten_thousand_texts_keep_their_order(embedder: Embedder) -> None:
    words = ["the", "cat", "dog", "sat", "on", "mat", "ran"]
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(words, size=1 + i % 3)) for i in range(10_000)]
    before = embedder.stats()["inputs"]
    vectors = embedder.embed(texts)
    assert vectors.shape == (10_000, WIDTH)
    assert embedder.stats()["inputs"] - before == 10_000
    assert type(memory_of(vectors)).__module__ == "llamad._engine"
    kinds = sorted(set(texts))
    expected = dict(zip(kinds, embedder.embed(kinds), strict=True))
    np.testing.assert_allclose(vectors, np.stack([expected[text] for text in texts]), atol=5e-3)


def test_documents_are_ranked(models: dict[str, Path]) -> None:
    with Embedder(models["rank"], n_threads=1) as ranker:
        answer = ranker.rerank("cat on mat", iter(TEXTS))
        bert = Bert(models["rank"])
        asked = ranker.tokenize("cat on mat", add_special=False)
        for text, score, n_tokens in zip(TEXTS, answer.scores, answer.n_tokens, strict=True):
            tokens = [CLS, *asked, SEP, *ranker.tokenize(text, add_special=False), SEP]
            assert n_tokens == len(tokens)
            assert score == pytest.approx(bert.score(tokens), abs=1e-2)
        assert sorted(answer.order) == list(range(len(TEXTS)))
        assert [answer.scores[index] for index in answer.order] == sorted(answer.scores, reverse=True)
        with pytest.raises(llamad.ParameterError, match="there must be at least one input"):
            ranker.rerank("cat", [])
        for inputs in ([], ["a"]):
            with pytest.raises(llamad.ParameterError, match="cannot embed"):
                ranker.embed(inputs)


def test_equal_scores_keep_the_order_of_the_documents() -> None:
    assert llamad.Ranking((0.5, 2.0, 0.5, 2.0), (1, 1, 1, 1)).order == (1, 3, 0, 2)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (["a b " * N_CTX], llamad.ContextLengthError, rf"input has \d+ tokens, .* {N_CTX}"),
        (["a"] * 500 + [[1] * (N_CTX + 1)], llamad.ContextLengthError, r"input\[500\] has"),
        ([[]], llamad.ParameterError, "at least one token"),
        ([[-1]], llamad.ParameterError, "-1"),
    ],
)
def test_one_bad_input_refuses_the_call(
    embedder: Embedder, inputs: Any, error: type[llamad.RequestError], message: str
) -> None:
    before = embedder.stats()["inputs"]
    with pytest.raises(error, match=message) as caught:
        embedder.embed(inputs)
    assert caught.value.param == "input"
    assert embedder.stats()["inputs"] == before
    assert embedder.embed("a").shape == (WIDTH,)


@pytest.mark.parametrize("inputs", [[1, 2], [None], [["a"]], [b"a"], ["a\ud800"], "a\ud800"], ids=repr)
def test_what_is_no_text_is_refused(embedder: Embedder, inputs: Any) -> None:
    with pytest.raises(llamad.ParameterError, match=r"input\[0\] must be a text") as caught:
        embedder.embed(inputs)
    assert caught.value.param == "input"


class Table(dict[str, list[str]]):
    """Like pandas' tables, it is iterated over by the names of its columns."""

    columns = ("text",)


@pytest.mark.parametrize("inputs", [None, 5, b"abc", {"a": 1}, Table(text=["a"])], ids=repr)
def test_what_holds_no_texts_is_refused(embedder: Embedder, inputs: Any) -> None:
    with pytest.raises(llamad.ParameterError, match="inputs must be an iterable of texts") as caught:
        embedder.embed(inputs)
    assert caught.value.param == "inputs"


@pytest.mark.parametrize(
    ("query", "documents", "message"),
    [
        ("a", "text", "documents must be an iterable of texts, got 'text'"),
        ("a", None, "documents must be an iterable of texts, got None"),
        ("a", ["b", None], r"documents\[1\] must be a text, got None"),
        (None, ["b"], "query must be a text, got None"),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    embedder: Embedder, query: Any, documents: Any, message: str
) -> None:
    with pytest.raises(llamad.ParameterError, match=message):
        embedder.rerank(query, documents)


def test_text_and_tokens(embedder: Embedder) -> None:
    assert embedder.detokenize(embedder.tokenize("the cat", add_special=False)) == " the cat"
    assert embedder.info.n_out == WIDTH
    assert repr(embedder).startswith("<Embedder: bert, ")


def test_a_name_is_enough(models: dict[str, Path]) -> None:
    with Embedder.from_pretrained("mean", model_directory=models["mean"].parent, n_threads=1) as embedder:
        assert embedder.embed("a").shape == (WIDTH,)


def test_a_model_that_generates_names_the_other_class(tiny_model: Path) -> None:
    with pytest.raises(llamad.ModelLoadError, match="Engine"):
        Embedder(tiny_model, n_threads=1)


def test_the_catalog_is_found_where_models_are_kept(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMAD_MODEL_DIRECTORY", str(smollm2.parent))
    assert llamad.pretrained.resolve("smollm2") == smollm2.parent / SMOLLM2_FILE


def test_neither_copied_nor_pickled(embedder: Embedder) -> None:
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="Embedder cannot be pickled or copied"):
            attempt(embedder)


def test_a_bar_counts_the_texts(embedder: Embedder, capsys: pytest.CaptureFixture[str]) -> None:
    embedder.embed(TEXTS, progress=True)
    assert "5/5" in capsys.readouterr().err
    embedder.embed(TEXTS)  # nobody watches
    assert capsys.readouterr().err == ""
