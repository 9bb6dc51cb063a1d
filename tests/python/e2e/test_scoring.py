"""Scores and perplexities of a tiny model, beside what numpy computes of its weights."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from llamad import AsyncEngine, Engine, EngineClosedError, ParameterError

from tests.python.support.numpy_llama import Llama
from tests.python.support.tiny_tokenizer import BOS_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

N_CTX = 256
LONGEST = N_CTX - 1
EXACT: dict[str, Any] = {"cache_type_k": "f32", "cache_type_v": "f32", "flash_attn": "off", "n_threads": 1}
TOLERANCE = 2e-3
"""Of a token's logprob, of which most are beyond -10; f32 here, f64 in numpy."""

STORY = "Hello world, one story of the two and three that is in the world. "


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(tiny_model, n_parallel=4, n_ctx=N_CTX, **EXACT) as engine:
        yield engine


@pytest.fixture(scope="module")
def llama(tiny_model: Path) -> Llama:
    return Llama(tiny_model)


def computed(llama: Llama, tokens: Sequence[int], start: int) -> tuple[list[float], bool]:
    """Logprobs of `tokens[start:]`, and whether each is the likeliest."""
    rows = llama.logprobs(tokens)[start - 1 : -1]
    places = np.arange(len(rows))
    return list(rows[places, tokens[start:]]), bool((rows.argmax(axis=-1) == tokens[start:]).all())


def test_a_score_is_what_the_model_computes(engine: Engine, llama: Llama) -> None:
    score = engine.score("Hello world, one", " story of")
    tokens, context = engine.tokenize("Hello world, one story of"), engine.tokenize("Hello world, one")
    logprobs, is_greedy = computed(llama, tokens, len(context))
    assert score.token_ids == tuple(tokens[len(context) :])
    assert score.logprobs == pytest.approx(logprobs, abs=TOLERANCE)
    assert score.logprob == pytest.approx(sum(logprobs), abs=len(logprobs) * TOLERANCE)
    assert score.is_greedy is is_greedy


def test_what_the_model_would_say_is_greedy(engine: Engine) -> None:
    prompt = engine.tokenize("Hello world")
    said = engine.generate(prompt, max_tokens=6, temperature=0, logprobs=0)
    scores = engine.score(prompt, [said.token_ids, [*said.token_ids[:-1], BOS_ID]])
    assert [score.is_greedy for score in scores] == [True, False]
    assert scores[0].logprob == pytest.approx(said.cumulative_logprob, abs=0.02)


def test_several_continuations_keep_their_order(engine: Engine) -> None:
    continuations = [" two", " one", " three stories", " two"]
    scores = engine.score("Hello", continuations)
    for continuation, score in zip(continuations, scores, strict=True):
        assert score.logprob == pytest.approx(engine.score("Hello", continuation).logprob, abs=TOLERANCE * 20)
    none: list[str] = []
    assert engine.score("Hello", none) == []


def test_several_prompts_have_a_continuation_each_or_share_one(engine: Engine) -> None:
    prompts, continuations = ["Hello", "one two", "Hello world"], [" two", " three", " one"]
    wanted = [engine.score(*pair).logprob for pair in zip(prompts, continuations, strict=True)]
    scores = engine.score(prompts, iter(continuations))
    assert [score.logprob for score in scores] == pytest.approx(wanted, abs=TOLERANCE * 20)
    assert [score.token_ids for score in engine.score(iter(prompts), " two")] == [scores[0].token_ids] * 3
    assert engine.score([engine.tokenize("Hello")], [" two"])[0].token_ids == scores[0].token_ids
    assert engine.score(iter(list[str]()), " two") == []


@pytest.mark.parametrize(
    ("prompt", "continuation", "param", "message"),
    [
        (["a", "b"], [" c"], "continuation", "one for each of the 2 prompts, got 1"),
        (["a", "b"], [" c", ""], "continuation[1]", "at least one token"),
        (["a", "b"], "", "continuation", "at least one token"),
        (["a", 5], " c", "prompt[1]", "a text or a list of token ids"),
        (5, [" c"], "prompt", "an iterable"),
    ],
)
def test_what_cannot_be_paired(
    engine: Engine, prompt: Any, continuation: Any, param: str, message: str
) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        engine.score(prompt, continuation)
    assert caught.value.param == param


def test_white_space_at_the_end_of_the_prompt_counts_as_continuation(engine: Engine) -> None:
    assert engine.score("one ", "two").token_ids == engine.score("one", " two").token_ids
    assert engine.detokenize(engine.score("one \n", "two").token_ids) == " \ntwo"


def test_a_token_across_the_boundary_is_cut_there(engine: Engine, llama: Llama) -> None:
    context, rest = engine.tokenize("one t"), engine.tokenize("he end", add_special=False)
    assert engine.tokenize("one the end")[: len(context)] != context
    score = engine.score("one t", "he end")
    assert score.token_ids == tuple(rest)
    assert score.logprobs == pytest.approx(computed(llama, context + rest, len(context))[0], abs=TOLERANCE)


@pytest.mark.parametrize("prompt", ["", " ", []])
def test_an_empty_prompt_is_the_token_that_texts_begin_with(
    engine: Engine, llama: Llama, prompt: str | list[int]
) -> None:
    score = engine.score(prompt, "Hello world")
    text = (prompt if isinstance(prompt, str) else "") + "Hello world"
    tokens = [BOS_ID, *engine.tokenize(text, add_special=False)]
    assert score.logprobs == pytest.approx(computed(llama, tokens, 1)[0], abs=TOLERANCE)


def test_a_prompt_that_does_not_fit_loses_its_beginning(engine: Engine, llama: Llama) -> None:
    prompt = engine.tokenize(STORY * 40)
    rest = engine.tokenize(" the end", add_special=False)
    assert len(prompt) > 2 * N_CTX
    score = engine.score(prompt, rest)
    kept = (prompt + rest)[-LONGEST:]
    assert score.logprobs == pytest.approx(computed(llama, kept, LONGEST - len(rest))[0], abs=TOLERANCE)


def test_a_continuation_longer_than_the_context(engine: Engine, llama: Llama) -> None:
    rest = engine.tokenize(STORY * 40, add_special=False)
    prompt = engine.tokenize("Hello")
    score = engine.score(prompt, rest)
    assert score.token_ids == tuple(rest)
    whole = prompt + rest
    fitting = LONGEST - len(prompt)
    assert score.logprobs[:fitting] == pytest.approx(
        computed(llama, whole[:LONGEST], len(prompt))[0], abs=TOLERANCE
    )
    next_half = whole[LONGEST - (LONGEST - LONGEST // 2) : LONGEST + LONGEST // 2]
    n_next = LONGEST // 2
    assert score.logprobs[fitting : fitting + n_next] == pytest.approx(
        computed(llama, next_half, len(next_half) - n_next)[0], abs=TOLERANCE
    )


def hugging_faces_perplexity(llama: Llama, tokens: list[int], window: int, stride: int) -> tuple[float, int]:
    """Return nll and number of predicted tokens, by the loop of its documentation."""
    nll, n_tokens, previous = 0.0, 0, 0
    for begin in range(0, len(tokens), stride):
        end = min(begin + window, len(tokens))
        first = max(1, previous - begin)
        logprobs, _ = computed(llama, tokens[begin:end], first)
        nll, n_tokens, previous = nll - sum(logprobs), n_tokens + len(logprobs), end
        if end == len(tokens):
            break
    return nll, n_tokens


@pytest.mark.parametrize(("window", "stride"), [(None, None), (100, 30), (64, 63), (200, None)])
@pytest.mark.parametrize("repeats", [1, 20])
def test_perplexity_is_that_of_the_formula(
    engine: Engine, llama: Llama, window: int | None, stride: int | None, repeats: int
) -> None:
    text = STORY * repeats
    found = engine.perplexity(text, window=window, stride=stride)
    tokens = engine.tokenize(text)
    width = window or LONGEST
    nll, n_tokens = hugging_faces_perplexity(llama, tokens, width, stride or width // 2)
    assert found.n_tokens == n_tokens == len(tokens) - 1
    assert found.nll == pytest.approx(nll, abs=n_tokens * TOLERANCE)
    assert found.value == pytest.approx(math.exp(nll / n_tokens), rel=TOLERANCE)
    assert engine.perplexity(tokens, window=window, stride=stride).nll == pytest.approx(found.nll, rel=1e-3)


def test_thousands_of_pairs_in_any_order_share_what_they_begin_with(engine: Engine) -> None:
    contexts = [f"{i} Hello world, {STORY}{i}:" for i in range(20)]
    pairs = [(context, f" {word} {i}") for context in contexts for i in range(25) for word in ("one", "two")]
    random.Random(1).shuffle(pairs)
    before = engine.stats()
    found = engine.loglikelihood(pairs)
    after = engine.stats()
    assert len(found) == len(pairs) == 1000
    n_prompt = after["prompt_tokens"] - before["prompt_tokens"]
    n_cached = after["cached_tokens"] - before["cached_tokens"]
    assert n_cached > 0.6 * n_prompt
    for place in range(0, len(pairs), 97):
        score = engine.score(*pairs[place])
        assert found[place][0] == pytest.approx(score.logprob, abs=TOLERANCE * 10)
        assert found[place][1] is score.is_greedy


@pytest.mark.parametrize(
    ("continuation", "param", "message"),
    [
        ("", "continuation", "^continuation must have at least one token"),
        ([" one", ""], "continuation[1]", r"^continuation\[1\]: continuation must have at least one token"),
        ([" one", [7, 1_000_000]], "continuation[1]", "token ids from 0 to .* got 1000000"),
        ([-1], "continuation", r"got \[-1\]"),
        (None, "continuation", "got None"),
        (b"ab", "continuation", "got b'ab'"),
        ({"one": 1}, "continuation", "got {'one': 1}"),
        ([" one", None], "continuation[1]", r"^continuation\[1\]: continuation must be a text .* got None"),
        ([" one", "\ud800"], "continuation[1]", "half a surrogate pair at 0"),
    ],
)
def test_what_cannot_be_scored(engine: Engine, continuation: Any, param: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        engine.score("one", continuation)
    assert caught.value.param == param


def test_the_pair_that_is_to_blame_is_named(engine: Engine) -> None:
    with pytest.raises(ParameterError, match=r"pairs\[1\]: prompt must consist of token ids") as caught:
        engine.loglikelihood([("one", " two"), ([1_000_000], " two")])
    assert caught.value.param == "pairs[1]"


@pytest.mark.parametrize("wrong", ["ab", ("one",), ("one", " two", " three"), None, 5], ids=repr)
def test_what_is_no_pair_is_named(engine: Engine, wrong: Any) -> None:
    with pytest.raises(ParameterError, match=r"pairs\[1\]: must be a pair .*, got") as caught:
        engine.loglikelihood([("one", " two"), wrong])
    assert caught.value.param == "pairs[1]"


@pytest.mark.parametrize("wrong", ["ab", None, 5, {"one": " two"}], ids=repr)
def test_what_holds_no_pairs_is_refused(engine: Engine, wrong: Any) -> None:
    with pytest.raises(ParameterError, match="pairs must be an iterable of pairs"):
        engine.loglikelihood(wrong)


def test_continuations_may_come_from_a_generator_or_an_array(engine: Engine) -> None:
    texts = [" two", " three"]
    assert engine.score("one", iter(texts)) == engine.score("one", texts)
    token_ids: Any = np.array([5, 7])
    assert engine.score("one", token_ids) == engine.score("one", [5, 7])


def test_what_has_no_perplexity(engine: Engine) -> None:
    for text in ("", [5]):
        with pytest.raises(ParameterError, match="at least 2 tokens") as caught:
            engine.perplexity(text)
        assert caught.value.param == "text"
    with pytest.raises(ParameterError, match="text must consist of token ids"):
        engine.perplexity([5, 1_000_000])
    for wrong in (None, 5, b"text", [5, "a"], "a\ud800"):
        with pytest.raises(ParameterError, match="text must be a text"):
            engine.perplexity(cast("Any", wrong))
    with pytest.raises(ParameterError, match=f"window must be an integer from 2 to {LONGEST}"):
        engine.perplexity("Hello world", window=N_CTX)


def test_the_same_on_an_event_loop(engine: Engine, tiny_model: Path) -> None:
    async def scenario() -> Any:
        async with (
            asyncio.timeout(90),
            await AsyncEngine.load(tiny_model, n_parallel=4, n_ctx=N_CTX, **EXACT) as other,
        ):
            return (
                await other.score("Hello world", " one"),
                await other.score("Hello world", [" one", " two"]),
                await other.loglikelihood([("Hello", " world"), ("", "one")]),
                await other.perplexity(STORY * 10, window=100),
            )

    one, two, pairs, perplexity = asyncio.run(scenario())
    assert one.logprob == pytest.approx(engine.score("Hello world", " one").logprob, abs=TOLERANCE * 10)
    assert [score.token_ids for score in two] == [
        score.token_ids for score in engine.score("Hello world", [" one", " two"])
    ]
    expected = engine.loglikelihood([("Hello", " world"), ("", "one")])
    assert [value for value, _ in pairs] == pytest.approx(
        [value for value, _ in expected], abs=TOLERANCE * 10
    )
    assert perplexity.nll == pytest.approx(engine.perplexity(STORY * 10, window=100).nll, rel=1e-3)


def test_a_closed_engine_says_so(tiny_model: Path) -> None:
    with Engine(tiny_model, n_ctx=N_CTX, n_threads=1) as engine:
        pass
    for attempt in (lambda: engine.score("a", "b"), lambda: engine.perplexity("Hello world")):
        with pytest.raises(EngineClosedError):
            attempt()


def test_a_better_answer_scores_higher(smollm2: Path) -> None:
    with Engine(smollm2, n_parallel=3, n_ctx=512, n_threads=1) as engine:
        paris, rome, potato = engine.score("The capital of France is", [" Paris", " Rome", " potato"])
        assert paris.logprob > rome.logprob > potato.logprob
        sense = engine.perplexity("The quick brown fox jumps over the lazy dog.")
        nonsense = engine.perplexity("dog lazy quick jumps The over fox brown the.")
        assert sense.value < nonsense.value / 5
