"""The comparison with llama-cpp-python: what both programs are given, and llamad's half of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import in_process, in_process_loops
from benchmarks.in_process import Batch, alike
from benchmarks.in_process_loops import Job, Outcome

if TYPE_CHECKING:
    from pathlib import Path

OUTCOME = Outcome(wall_s=1.0, texts=["a", "b"], completion_tokens=100, prompt_tokens=20)


@pytest.fixture
def job(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setattr(in_process, "model_path", lambda _: tiny_model)
    return Batch("tiny", "tiny", prompts=3, shared_words=20, max_tokens=8, slots=2).job(seed=1, n_threads=1)


def test_prompts_share_the_instruction_and_nothing_else(job: Job) -> None:
    instructions, tails = zip(*(prompt.split(". ") for prompt in job.prompts), strict=True)
    assert len(set(instructions)) == 1
    assert len(instructions[0].split()) == 20
    assert len(set(tails)) == 3
    assert not any(prompt.startswith(instructions[0]) for prompt in job.warm_up)


def test_a_seed_gives_the_same_prompts_and_another_gives_others(job: Job) -> None:
    batch = Batch("tiny", "tiny", prompts=3, shared_words=20, max_tokens=8, slots=2)
    assert batch.job(1, n_threads=1) == job
    assert not set(batch.job(2, n_threads=1).prompts) & set(job.prompts)


def test_llamad_completes_every_prompt(job: Job) -> None:
    outcome = in_process_loops.llamad(job)
    assert (outcome.completion_tokens, len(outcome.texts)) == (3 * 8, 3)
    assert outcome.prompt_tokens > 3 * 20
    assert outcome.wall_s > 0


def test_texts_are_compared_one_by_one() -> None:
    assert alike(OUTCOME, replace(OUTCOME, texts=["a", "c"])) == "texts alike: 1 of 2"


@pytest.mark.parametrize(
    ("other", "reason"),
    [({"prompt_tokens": 21}, "the other 21"), ({"completion_tokens": 94}, "94")],
)
def test_programs_that_did_not_do_the_same_are_not_compared(other: dict[str, Any], reason: str) -> None:
    with pytest.raises(RuntimeError, match=reason):
        alike(OUTCOME, replace(OUTCOME, **other))


def test_targets_stand_on_both_batches_of_both_models() -> None:
    limits = {batch.name: batch.targets[0].limit for batch in in_process.BATCHES}
    assert sorted(limits.values()) == [1.6, 1.6, 3.3, 3.3]
