"""`LlamadLM` beside what numpy computes of a tiny model's weights, asked as the harness asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from llamad import Engine, ParameterError
from llamad.integrations.lm_eval import LlamadLM
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

from tests.python.support.numpy_llama import Llama
from tests.python.support.tiny_tokenizer import BOS, BOS_ID, END_OF_TURN_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

N_CTX = 64
EXACT: dict[str, Any] = {"cache_type_k": "f32", "cache_type_v": "f32", "flash_attn": "off", "n_threads": 1}
TOLERANCE = 2e-3
STORY = "Hello world, one story of the two and three that is in the world. " * 6


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Iterator[LlamadLM]:
    with Engine(tiny_model, n_parallel=4, n_ctx=N_CTX, **EXACT) as engine:
        yield LlamadLM(engine)


@pytest.fixture(scope="module")
def llama(tiny_model: Path) -> Llama:
    return Llama(tiny_model)


def instances(kind: str, *arguments: tuple[Any, ...]) -> list[Instance]:
    return [Instance(kind, {}, one, index) for index, one in enumerate(arguments)]


def likelihood(llama: Llama, context: list[int], rest: list[int]) -> float:
    rows = llama.logprobs(context + rest)[len(context) - 1 : -1]
    return float(rows[np.arange(len(rows)), rest].sum())


def test_the_harness_knows_the_model_by_its_name() -> None:
    assert get_model("llamad") is LlamadLM


def test_likelihoods(model: LlamadLM, llama: Llama) -> None:
    pairs = [("Hello world", " one"), ("", "Hello world"), ("one two ", "three")]
    tokens = [
        (model.tok_encode("Hello world"), model.tok_encode(" one", add_special_tokens=False)),
        ([BOS_ID], model.tok_encode("Hello world", add_special_tokens=False)),
        (model.tok_encode("one two"), model.tok_encode(" three", add_special_tokens=False)),
    ]
    answers = model.loglikelihood(instances("loglikelihood", *pairs), disable_tqdm=True)
    for (value, greedy), (context, rest) in zip(answers, tokens, strict=True):
        assert value == pytest.approx(likelihood(llama, context, rest), abs=len(rest) * TOLERANCE)
        assert isinstance(greedy, bool)


def test_a_context_that_does_not_fit_is_cut_from_the_left(
    model: LlamadLM, llama: Llama, caplog: pytest.LogCaptureFixture
) -> None:
    ((value, _),) = model.loglikelihood(instances("loglikelihood", (STORY, " the end")), disable_tqdm=True)
    whole = model.tok_encode(STORY.rstrip() + "  the end")
    rest = whole[len(model.tok_encode(STORY.rstrip())) :]
    kept = whole[-(N_CTX - 1) : -len(rest)]
    assert value == pytest.approx(likelihood(llama, kept, rest), abs=len(rest) * TOLERANCE)
    assert f"cut to its last {len(kept)}" in caplog.text


def test_a_text_longer_than_the_context_is_rolled_over(model: LlamadLM, llama: Llama) -> None:
    texts = ["Hello world, one", STORY]
    answers = model.loglikelihood_rolling(
        instances("loglikelihood_rolling", *((text,) for text in texts)), disable_tqdm=True
    )
    for answer, text in zip(answers, texts, strict=True):
        tokens = model.tok_encode(text)
        total, begin = 0.0, 0
        while begin < len(tokens):
            # Each window asks for as many tokens as fit; the last has all the context there is room for.
            end = min(begin + model.max_length, len(tokens))
            first = max(0, end - model.max_length) if begin else 0
            before = [BOS_ID] if first == 0 else tokens[first - 1 : first]
            total += likelihood(llama, before + tokens[first:begin], tokens[begin:end])
            begin = end
        assert answer == pytest.approx(total, abs=len(tokens) * TOLERANCE)


def test_generation_ends_at_a_stop_string(model: LlamadLM) -> None:
    free = {"until": [], "max_gen_toks": 12, "do_sample": False}
    (text,) = model.generate_until(instances("generate_until", ("Hello", free)), disable_tqdm=True)
    assert text == model.engine.generate("Hello", max_tokens=12, temperature=0).text
    stop = text[3:5]
    asked = instances("generate_until", ("Hello", free | {"until": [stop]}), ("Hello", free), (STORY, free))
    short, same, _ = model.generate_until(asked, disable_tqdm=True)
    assert short == text[: text.index(stop)]
    assert same == text


def test_arguments_that_mean_nothing_are_refused(model: LlamadLM) -> None:
    with pytest.raises(ParameterError, match="num_beams"):
        model.generate_until(instances("generate_until", ("Hello", {"until": [], "num_beams": 4})))


def test_what_has_been_answered_is_noted_for_the_harness_s_cache(model: LlamadLM) -> None:
    noted: list[tuple[str, Any, Any]] = []

    class Hook:
        def add_partial(self, what: str, request: Any, answer: Any) -> None:
            noted.append((what, request, answer))

    before, model.cache_hook = model.cache_hook, Hook()
    try:
        answers = model.loglikelihood(instances("loglikelihood", ("a", " b")), disable_tqdm=True)
    finally:
        model.cache_hook = before
    assert noted == [("loglikelihood", ("a", " b"), answers[0])]


def test_tokens(model: LlamadLM) -> None:
    assert (model.prefix_token_id, model.eot_token_id) == (BOS_ID, END_OF_TURN_ID)
    assert model.tok_encode("Hello")[0] == BOS_ID
    assert model.tok_encode(BOS + "Hello") == model.tok_encode("Hello")
    assert BOS_ID not in model.tok_encode("Hello", add_special_tokens=False)
    assert "/" not in model.tokenizer_name


def test_chat_templates(model: LlamadLM) -> None:
    asked = [{"role": "user", "content": "Hi"}]
    assert model.apply_chat_template(asked).endswith("<|im_start|>assistant\n")
    begun = [*asked, {"role": "assistant", "content": "Ho"}]
    assert model.apply_chat_template(begun, add_generation_prompt=False).endswith("assistant\nHo")


@pytest.mark.parametrize("max_length", [0, N_CTX - 1])
def test_lengths_that_cannot_be(model: LlamadLM, max_length: int) -> None:
    with pytest.raises(ValueError, match=f"1 to {N_CTX - 2}"):
        LlamadLM(model.engine, max_length=max_length)


def test_options_are_for_the_engine_that_is_to_be_loaded(model: LlamadLM, tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="n_ctx"):
        LlamadLM(model.engine, n_ctx=64)
    loaded = LlamadLM(tiny_model, n_ctx=128, n_threads=1, batch_size=1, device=None)
    with loaded.engine:
        assert (loaded.engine.info.n_parallel, loaded.max_length) == (8, 126)
