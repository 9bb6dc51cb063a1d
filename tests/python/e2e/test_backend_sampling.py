"""Tokens drawn from what a device finds among the logits, beside those drawn from all logits."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from llamad import AsyncEngine, Engine, ParameterError, SamplingParams, _engine
from llamad.choices import Choices

if TYPE_CHECKING:
    from pathlib import Path

    from llamad import Result

pytestmark = pytest.mark.timeout(300)

TOKENS = 8
STORY = "Once upon a time, in a small village by the sea, there lived"
FACTS = "The capital of France is Paris. The capital of Italy is Rome. The capital of Spain is"
GREETING = 'root ::= "Hello, " ("world" | "story") "!"'

ALIKE: dict[str, Any] = {"n_threads": 1, "n_parallel": 8, "n_ctx": 256, "prefix_cache_mib": 0}
"""In everything but how the logits get to the sampler: then the logits are the same to the bit."""

REQUESTS: dict[str, SamplingParams] = {
    "greedy": SamplingParams(temperature=0),
    "greedy, and the end forbidden": SamplingParams(temperature=0, ignore_eos=True),
    "the default chain": SamplingParams(seed=1),
    "top-k and penalties": SamplingParams(
        seed=2, top_k=50, repeat_penalty=1.3, frequency_penalty=0.5, presence_penalty=0.4
    ),
    "min-p alone": SamplingParams(seed=3, top_k=0, top_p=1, min_p=0.1),
    "min-p so small that more may do than a device finds": SamplingParams(
        seed=4, top_k=0, top_p=1, min_p=1e-5, temperature=1.5
    ),
    "all tokens": SamplingParams(seed=5, top_k=0, top_p=0.9, min_p=0),
    "more than a device finds": SamplingParams(seed=6, top_k=200, temperature=1.5),
    "a raised logit": SamplingParams(seed=7, logit_bias={1000: 30.0}),
    "a forbidden token": SamplingParams(temperature=0.5, seed=8, logit_bias={260: float("-inf"), 28: -1.0}),
    "a grammar": SamplingParams(temperature=0, grammar=GREETING),
    "log-probabilities": SamplingParams(seed=9, logprobs=3),
    "greedy log-probabilities": SamplingParams(temperature=0, logprobs=0),
    "mirostat": SamplingParams(seed=10, mirostat=2),
    "a late end": SamplingParams(seed=11, min_tokens=5, xtc_probability=0.5),
    "a scored prompt": SamplingParams(temperature=0, prompt_logprobs=2),
}


def limited(params: SamplingParams) -> SamplingParams:
    return params.replace(max_tokens=TOKENS)


def one_by_one(path: Path, **options: Any) -> dict[str, Result]:
    with Engine(path, **ALIKE | options) as engine:
        return {name: engine.generate(STORY, limited(params)) for name, params in REQUESTS.items()}


def together(path: Path, **options: Any) -> list[Result]:
    """What requests of all kinds answer that start in the same step, twice as many as there are slots."""

    async def scenario() -> list[Result]:
        async with asyncio.timeout(200), await AsyncEngine.load(path, **ALIKE | options) as engine:
            prepared = [
                await engine.prepare(prompt, limited(params), stream=False, n=n)
                for (prompt, n), params in zip(
                    itertools.cycle([(STORY, 1), (FACTS, 2)]), REQUESTS.values(), strict=False
                )
            ]
            return await Choices(engine.submit_choices(*prepared)).wait()

    return asyncio.run(scenario())


def said(result: Result) -> tuple[Any, ...]:
    return result.text, result.token_ids, result.finish_reason, result.logprobs, result.prompt_logprobs


@pytest.mark.parametrize("kv_unified", [False, True])
def test_every_kind_of_request_says_the_same(smollm2: Path, kv_unified: bool) -> None:
    on = one_by_one(smollm2, backend_sampling="on", kv_unified=kv_unified)
    off = one_by_one(smollm2, backend_sampling="off", kv_unified=kv_unified)
    assert {name: said(result) for name, result in on.items()} == {
        name: said(result) for name, result in off.items()
    }
    assert len({result.text for result in on.values()}) > len(on) / 2


@pytest.mark.parametrize("n_ubatch", [512, 16], ids=["one graph a step", "several"])
def test_kinds_that_share_a_batch_say_the_same(smollm2: Path, n_ubatch: int) -> None:
    on = together(smollm2, backend_sampling="on", n_ubatch=n_ubatch)
    off = together(smollm2, backend_sampling="off", n_ubatch=n_ubatch)
    assert [said(result) for result in on] == [said(result) for result in off]


def test_what_it_takes_of_memory_is_counted(smollm2: Path) -> None:
    def context_bytes(mode: str) -> int:
        options: dict[str, Any] = {"n_parallel": 8, "n_gpu_layers": 0, "backend_sampling": mode}
        config = _engine.EngineConfig(model_path=str(smollm2), **options)
        return sum(int(use["context"]) for use in _engine.estimate_memory(config))

    row = 49_152 * 4
    assert context_bytes("off") == context_bytes("auto")  # no GPU is used
    # Rows of 8 slots and 64 scored tokens: all logits, what is found of them, and three that llama.cpp adds.
    assert context_bytes("on") - context_bytes("off") == pytest.approx(4 * 72 * row, rel=0.02)


def test_a_small_vocabulary_is_copied_as_ever(tiny_model: Path) -> None:
    params = SamplingParams(max_tokens=TOKENS, seed=1)
    texts = set()
    for mode in ("auto", "on", "off"):
        with Engine(tiny_model, n_ctx=128, n_threads=1, backend_sampling=mode) as engine:
            texts.add(engine.generate("hello world", params).text)
    assert len(texts) == 1


def test_an_unknown_mode_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ParameterError, match=r'backend_sampling .* "yes"') as caught:
        Engine(tiny_model, backend_sampling="yes")
    assert caught.value.param == "backend_sampling"
