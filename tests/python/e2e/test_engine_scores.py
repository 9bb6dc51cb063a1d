"""Log-probabilities of the prompt, and generations that may not end early."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from llamad import Engine, ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

GREEDY: dict[str, Any] = {"temperature": 0}


@pytest.fixture(scope="module")
def engine(smollm2: Path) -> Iterator[Engine]:
    with Engine(smollm2, n_parallel=3, n_ctx=1024) as engine:
        yield engine


def test_the_prompt_s_logprobs_are_those_it_was_generated_with(engine: Engine) -> None:
    prompt = engine.tokenize("The capital of France is")
    [said] = engine.choices(prompt, n=1, max_tokens=12, logprobs=3, **GREEDY)
    [scored] = engine.choices(prompt + said.token_ids, n=1, max_tokens=0, prompt_logprobs=3)
    assert said.logprobs is not None
    assert scored.prompt_logprobs is not None
    assert (scored.text, scored.finish_reason, scored.usage.completion_tokens) == ("", "length", 0)
    assert [token.token_id for token in scored.prompt_logprobs] == (prompt + said.token_ids)[1:]
    tail = scored.prompt_logprobs[-len(said.token_ids) :]
    for generated, again in zip(said.logprobs, tail, strict=True):
        assert again.logprob == pytest.approx(generated.logprob, abs=0.3)  # batches round differently
        assert again.top[0][1] - again.logprob < 0.3  # it was the likeliest
    for token in scored.prompt_logprobs:
        assert token.logprob <= token.top[0][1]
        assert len(token.top) == 3
        assert sum(math.exp(logprob) for _, logprob in token.top) <= 1.0001


def test_long_prompts_are_scored_beside_others(engine: Engine) -> None:
    prompts = [engine.tokenize(f"{i} " + "river mountain harbor window " * 25) for i in range(4)]
    params = {"max_tokens": 2, "prompt_logprobs": 0, **GREEDY}
    alone = [engine.choices(prompt, n=1, **params)[0] for prompt in prompts[:2]]
    generations = [engine.submit(prompt, None, **params) for prompt in prompts]
    neighbour = engine.submit("Once upon a time", max_tokens=20, ignore_eos=True, **GREEDY)
    for prompt, generation in zip(prompts, generations, strict=True):
        scores = generation.result(timeout=120).prompt_logprobs
        assert scores is not None
        assert [token.token_id for token in scores] == prompt[1:]
    for one, generation in zip(alone, generations, strict=False):
        scores, before = generation.result(timeout=120).prompt_logprobs, one.prompt_logprobs
        assert scores is not None
        assert before is not None
        difference = sum(a.logprob - b.logprob for a, b in zip(scores, before, strict=True))
        assert abs(difference) / len(scores) < 0.05
    assert len(neighbour.result(timeout=120).token_ids) == 20


@pytest.mark.parametrize("best_of", [None, 6])
def test_choices_share_the_scores_of_their_prompt(engine: Engine, best_of: int | None) -> None:
    results = engine.choices("The sky is", n=3, best_of=best_of, max_tokens=3, prompt_logprobs=0, seed=1)
    scores = results[0].prompt_logprobs
    assert scores is not None
    assert len(scores) == results[0].usage.prompt_tokens - 1
    assert all(result.prompt_logprobs is scores for result in results)


def test_no_end_before_min_tokens(engine: Engine) -> None:
    """The end of the turn is made certain: how soon a model ends by itself hangs on how it rounds."""
    prompt = "<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\n"
    [end] = engine.tokenize("<|im_end|>")
    certain: dict[str, Any] = {"max_tokens": 40, "logit_bias": {end: 100.0}, **GREEDY}
    free = engine.generate(prompt, **certain)
    assert (free.token_ids, free.text, free.finish_reason) == ([end], "", "stop")
    longer = engine.generate(prompt, min_tokens=12, **certain)
    assert (len(longer.token_ids), longer.token_ids.index(end), longer.finish_reason) == (13, 12, "stop")


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1, "prompt_logprobs": 1}, "max_tokens"),
        ({"min_tokens": -1}, "min_tokens"),
        ({"min_tokens": 4, "max_tokens": 3}, "min_tokens"),
        ({"min_tokens": 4, "grammar": 'root ::= "a"'}, "min_tokens"),
        ({"prompt_logprobs": 21}, "prompt_logprobs"),
        ({"prompt_logprobs": True}, "prompt_logprobs"),
    ],
)
def test_what_cannot_be_is_refused(engine: Engine, params: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterError, match=param) as caught:
        engine.generate("x", **params)
    assert caught.value.param == param


@pytest.mark.parametrize("unified", [False, True])
def test_scores_from_a_token_on_are_those_of_the_whole(smollm2: Path, unified: bool) -> None:
    with Engine(smollm2, n_parallel=3, n_ctx=256, n_threads=1, kv_unified=unified) as engine:
        text = engine.tokenize("The river runs past the mill and the old stone bridge. " * 4)
        prompts = [
            text + engine.tokenize(end, add_special=False) for end in (" It is cold.", " Xylophones!", " The")
        ]
        params = {"max_tokens": 0, "prompt_logprobs": 2, **GREEDY}
        together = [engine.submit(prompt, prompt_logprobs_start=len(text), **params) for prompt in prompts]
        parts = [generation.result(timeout=120) for generation in together]
        wholes = [engine.submit(prompt, **params).result(timeout=120) for prompt in prompts]
    assert [part.usage.cached_tokens for part in parts] == [0, len(text) - 1, len(text) - 1]
    for prompt, part, whole in zip(prompts, parts, wholes, strict=True):
        assert part.prompt_logprobs is not None
        assert whole.prompt_logprobs is not None
        assert [token.token_id for token in part.prompt_logprobs] == prompt[len(text) :]
        for token, expected in zip(part.prompt_logprobs, whole.prompt_logprobs[len(text) - 1 :], strict=True):
            assert token.logprob == pytest.approx(expected.logprob, abs=0.3)  # batches round differently
            assert token.top[0][1] == pytest.approx(expected.top[0][1], abs=0.3)


def test_scores_from_a_token_on_keep_their_distance_from_the_ends(tiny_model: Path) -> None:
    with Engine(tiny_model, n_parallel=2, n_ctx=512, n_threads=1) as engine:
        prompt = engine.tokenize("a hundred words")
        params: dict[str, Any] = {"max_tokens": 0, "prompt_logprobs": 0}
        whole = engine.submit(prompt, **params).result(timeout=60).prompt_logprobs
        assert whole is not None
        for start in range(len(prompt)):
            part = engine.submit(prompt, prompt_logprobs_start=start, **params).result(timeout=60)
            assert part.prompt_logprobs is not None
            assert [token.token_id for token in part.prompt_logprobs] == prompt[max(start, 1) :]
            differences = [
                abs(token.logprob - expected.logprob)
                for token, expected in zip(part.prompt_logprobs, whole[max(start, 1) - 1 :], strict=True)
            ]
            assert max(differences) < 0.05
        with pytest.raises(ParameterError, match=f"less than the prompt's {len(prompt)} tokens") as caught:
            engine.submit(prompt, prompt_logprobs_start=len(prompt), **params)
        assert caught.value.param == "prompt_logprobs_start"
        with pytest.raises(ParameterError, match="where prompt_logprobs are not asked for"):
            engine.submit(prompt, prompt_logprobs_start=1)
