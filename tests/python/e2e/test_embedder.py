"""`AsyncEmbedder` with tiny models: what it computes, alone and beside others, and how it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import llamad
import numpy as np
import pytest
from llamad import Embeddings, _engine
from llamad.async_embedder import AsyncEmbedder

from tests.python.support import tiny_embedders
from tests.python.support.tiny_embedders import CLS, N_CTX, SEP, WIDTH, Bert, write_embedder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

WAIT_S = 90.0
TEXTS = ["the cat sat on the mat", "the dog ran", "a", "zebra", "the cat sat on the mat and the dog ran on"]
KINDS = ["mean", "cls", "rank", "causal-mean", "causal-last"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("embedders")
    return {kind: write_embedder(kind, folder / f"{kind}.gguf") for kind in KINDS}


def on_loop(scenario: Callable[[AsyncEmbedder], Awaitable[Any]], path: Path, **options: Any) -> Any:
    async def bounded() -> Any:
        async with (
            asyncio.timeout(WAIT_S),
            await AsyncEmbedder.load(path, n_threads=1, **options) as embedder,
        ):
            return await scenario(embedder)

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Wait, within `on_loop`'s bound, for something that nobody signals."""
    for _ in range(int(WAIT_S * 1000)):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not become true in time")


def array(vector: Any) -> Any:
    return np.asarray(vector, dtype=np.float64)


@pytest.mark.parametrize("kind", ["mean", "cls"])
def test_vectors_are_what_the_model_computes(models: dict[str, Path], kind: str) -> None:
    async def scenario(embedder: AsyncEmbedder) -> None:
        answer = await embedder.embed(TEXTS)
        bert = Bert(models[kind])
        for text, vector, n_tokens in zip(TEXTS, answer.vectors, answer.n_tokens, strict=True):
            tokens = await embedder.tokenize(text)
            assert (tokens[0], tokens[-1], len(tokens)) == (CLS, SEP, n_tokens)
            np.testing.assert_allclose(array(vector), bert.embedding(tokens, kind), atol=2e-3)

    on_loop(scenario, models[kind])


def test_scores_are_what_the_model_computes(models: dict[str, Path]) -> None:
    query = "cat on mat"

    async def scenario(embedder: AsyncEmbedder) -> None:
        answer = await embedder.rerank(query, TEXTS)
        bert = Bert(models["rank"])
        for text, score, n_tokens in zip(TEXTS, answer.scores, answer.n_tokens, strict=True):
            asked = await embedder.tokenize(query, add_special=False)
            said = await embedder.tokenize(text, add_special=False)
            tokens = [CLS, *asked, SEP, *said, SEP]
            assert n_tokens == len(tokens)
            assert score == pytest.approx(bert.score(tokens), abs=1e-2)

    on_loop(scenario, models["rank"])


@pytest.mark.parametrize("kind", ["mean", "cls", "causal-mean", "causal-last"])
def test_company_changes_nothing(models: dict[str, Path], kind: str) -> None:
    async def scenario(embedder: AsyncEmbedder) -> None:
        alone = [(await embedder.embed([text])).vectors[0] for text in TEXTS]
        many = await asyncio.gather(*(embedder.embed(TEXTS * 8) for _ in range(4)))
        for answer in many:
            for vector, expected in zip(answer.vectors, alone * 8, strict=True):
                np.testing.assert_allclose(array(vector), array(expected), atol=2e-3)

    on_loop(scenario, models[kind], n_ubatch=64)


@pytest.mark.parametrize("kind", ["causal-mean", "causal-last"])
def test_an_input_computed_in_parts_is_the_same_as_at_once(tmp_path: Path, kind: str) -> None:
    path = write_embedder(kind, tmp_path / "long.gguf", n_ctx=1024)
    long = [5 + i % 200 for i in range(900)]

    async def embed(embedder: AsyncEmbedder) -> Any:
        answers = await asyncio.gather(embedder.embed([long, "a", long[::-1]]), embedder.embed([long]))
        return [array(vector) for answer in answers for vector in answer.vectors]

    at_once = on_loop(embed, path, n_ubatch=1024)
    in_parts = on_loop(embed, path, n_ubatch=100)
    for vector, expected in zip(in_parts, at_once, strict=True):
        np.testing.assert_allclose(vector, expected, atol=2e-3)
    assert np.linalg.norm(at_once[0] - at_once[2]) > 0.05, "the order of the tokens is seen"


def test_an_input_beyond_the_physical_batch_works_where_all_is_seen_at_once(
    models: dict[str, Path],
) -> None:
    tokens = [CLS, *([10, 20, 30] * 40)[: N_CTX - 2], SEP]

    async def scenario(embedder: AsyncEmbedder) -> None:
        answer = await embedder.embed([tokens, "the cat"])
        expected = Bert(models["mean"]).embedding(tokens, "mean")
        np.testing.assert_allclose(array(answer.vectors[0]), expected, atol=2e-3)

    on_loop(scenario, models["mean"], n_ubatch=32)


def test_vectors_have_length_one_and_share_memory_with_the_answer(models: dict[str, Path]) -> None:
    async def scenario(embedder: AsyncEmbedder) -> None:
        answer = await embedder.embed(TEXTS)
        for vector in answer.vectors:
            assert (len(vector), vector.format) == (WIDTH, "f")
            assert np.linalg.norm(array(vector)) == pytest.approx(1, abs=1e-5)
            assert not np.asarray(vector).flags.owndata

    on_loop(scenario, models["mean"])


def test_other_loops_may_use_an_embedder(models: dict[str, Path]) -> None:
    async def scenario(embedder: AsyncEmbedder) -> None:
        async def there() -> Embeddings:
            with pytest.raises(llamad.ContextLengthError):
                await embedder.embed(["a b " * N_CTX])
            return await embedder.embed(TEXTS)

        answers = await asyncio.gather(*(asyncio.to_thread(asyncio.run, there()) for _ in range(4)))
        for answer in answers:
            assert [len(vector) for vector in answer.vectors] == [WIDTH] * len(TEXTS)

    on_loop(scenario, models["mean"])


@pytest.mark.parametrize("inputs", [None, 5, "text", b"ab", {"a": 1}], ids=repr)
def test_what_holds_no_inputs_is_refused(models: dict[str, Path], inputs: Any) -> None:
    async def scenario(embedder: AsyncEmbedder) -> None:
        with pytest.raises(llamad.ParameterError, match="inputs must be an iterable of texts"):
            await embedder.embed(inputs)
        with pytest.raises(llamad.ParameterError, match="documents must be an iterable of texts"):
            await embedder.rerank("query", inputs)

    on_loop(scenario, models["mean"])


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (["a b " * N_CTX], llamad.ContextLengthError, rf"input has \d+ tokens, .* {N_CTX}"),
        (["a", "b" * 100_000], llamad.ContextLengthError, r"input\[1\] has 100000 bytes"),
        (["a", [1] * (N_CTX + 1)], llamad.ContextLengthError, rf"input\[1\] has {N_CTX + 1} tokens"),
        ([[]], llamad.ParameterError, "at least one token"),
        ([[5, 1_000_000]], llamad.ParameterError, "1000000"),
        ([[-1]], llamad.ParameterError, "-1"),
        ([], llamad.ParameterError, "at least one input"),
    ],
)
def test_what_cannot_be_embedded(
    models: dict[str, Path], inputs: Any, error: type[llamad.RequestError], message: str
) -> None:
    async def scenario(embedder: AsyncEmbedder) -> None:
        with pytest.raises(error, match=message) as caught:
            await embedder.embed(inputs)
        assert caught.value.param == "input"
        assert len((await embedder.embed(["a"])).vectors) == 1

    on_loop(scenario, models["mean"])


def test_what_cannot_be_ranked(models: dict[str, Path]) -> None:
    async def scenario(embedder: AsyncEmbedder) -> None:
        with pytest.raises(llamad.ContextLengthError, match=r"documents\[1\]") as caught:
            await embedder.rerank("cat", ["dog", "a b " * N_CTX])
        assert caught.value.param == "documents"
        with pytest.raises(llamad.ParameterError, match="cannot embed"):
            await embedder.embed(["a"])

    on_loop(scenario, models["rank"])


def test_an_embedding_model_does_not_rank(models: dict[str, Path]) -> None:
    async def scenario(embedder: AsyncEmbedder) -> None:
        with pytest.raises(llamad.ParameterError, match="cannot rerank"):
            await embedder.rerank("cat", ["dog"])

    on_loop(scenario, models["mean"])


def test_models_are_refused_by_what_they_are_not_made_for(models: dict[str, Path], tiny_model: Path) -> None:
    with pytest.raises(llamad.ModelLoadError, match="made for generating text"):
        _engine.Embedder(_engine.EmbedderConfig(model_path=str(tiny_model)))
    for kind in KINDS:
        with pytest.raises(llamad.ModelLoadError, match="cannot generate text: it is made for"):
            llamad.Engine(models[kind], n_threads=1)


@pytest.mark.parametrize(
    ("option", "value"), [("max_queue", 0), ("n_ctx", -1), ("flash_attn", "maybe"), ("n_parallel", 4)]
)
def test_bad_options(models: dict[str, Path], option: str, value: object) -> None:
    with pytest.raises(llamad.ParameterError, match=option) as caught:
        on_loop(lambda _: asyncio.sleep(0), models["mean"], **{option: value})
    assert caught.value.param == option


def test_cancelling_frees_the_place_in_the_queue(models: dict[str, Path]) -> None:
    long = [[1 + i % 5 for i in range(N_CTX)]] * 2000

    async def scenario(embedder: AsyncEmbedder) -> None:
        task = asyncio.create_task(embedder.embed(long))
        await until(lambda: embedder.stats()["running"] == 1)
        with pytest.raises(llamad.QueueFullError):
            await embedder.embed(["a"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: embedder.stats()["running"] == 0)
        assert embedder.stats()["finished_cancelled"] == 1
        assert embedder.stats()["inputs"] < len(long)
        await embedder.embed(["a"])

    on_loop(scenario, models["mean"], max_queue=1)


def test_closing_ends_what_runs_with_an_error(models: dict[str, Path]) -> None:
    long = [[1 + i % 5 for i in range(N_CTX)]] * 2000

    async def scenario(embedder: AsyncEmbedder) -> None:
        tasks = [asyncio.create_task(embedder.embed(long)) for _ in range(3)]
        await until(lambda: embedder.stats()["running"] + embedder.stats()["waiting"] == 3)
        await embedder.close()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, llamad.EngineClosedError)
        with pytest.raises(llamad.EngineClosedError):
            await embedder.embed(["a"])
        await embedder.close()

    on_loop(scenario, models["mean"])


def test_a_request_that_takes_too_long(models: dict[str, Path]) -> None:
    async def scenario(embedder: AsyncEmbedder) -> None:
        with pytest.raises(llamad.RequestTimeoutError, match=r"0\.001 s"):
            await embedder.embed([[1] * N_CTX] * 2000)

    on_loop(scenario, models["mean"], request_timeout_s=0.001)


def test_the_model_says_what_it_is(models: dict[str, Path]) -> None:
    async def scenario(embedder: AsyncEmbedder) -> None:
        info = embedder.info
        assert (info.kind, info.pooling, info.n_out, info.n_ctx) == ("embed", "mean", WIDTH, N_CTX)
        assert repr(embedder).endswith(f"; {WIDTH} numbers for up to {N_CTX} tokens>")
        assert (info.architecture, info.n_vocab) == ("bert", len(tiny_embedders.vocabulary()))
        assert await embedder.detokenize(await embedder.tokenize("the cat", add_special=False)) == " the cat"

    on_loop(scenario, models["mean"])
    on_loop(scenario, models["mean"], n_ctx=0)


def test_a_name_is_enough(models: dict[str, Path]) -> None:
    async def scenario() -> int:
        async with (
            asyncio.timeout(WAIT_S),
            await AsyncEmbedder.from_pretrained(
                "mean", model_directory=models["mean"].parent, n_threads=1
            ) as embedder,
        ):
            return len((await embedder.embed(["a"])).vectors)

    assert asyncio.run(scenario()) == 1
