"""The embedded engine alone, without HTTP: `pytest benchmarks --benchmark-enable`.

SmolLM2 shows what a model of this size costs; the tiny and nano models show what the engine costs.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from llamad import Engine

from benchmarks.models import model_path
from benchmarks.prompts import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llamad import Delta, Generation, Result

    Started = Generation[Delta, Result]

pytestmark = pytest.mark.timeout(600)

N_SLOTS = 32
N_CTX = 1024
Benchmark = Any
"""pytest-benchmark's fixture, which has no types."""

GREEDY: dict[str, Any] = {"temperature": 0, "ignore_eos": True}


def prompts(count: int, n_words: int = 40) -> list[str]:
    """Distinct prompts, so that no prefix is shared."""
    rotated = [WORDS[index:] + WORDS[:index] for index in range(count)]
    return [" ".join(words[:n_words]) for words in rotated]


@pytest.fixture(scope="module", params=["smollm2", "tiny", "nano"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    n_threads = 0 if request.param == "smollm2" else 1
    path = model_path(request.param)
    with Engine(path, n_parallel=N_SLOTS, n_ctx=N_CTX, n_threads=n_threads) as engine:
        yield engine


@pytest.fixture
def started() -> Iterator[list[Started]]:
    """Generations that a benchmark leaves behind; ended with it."""
    generations: list[Started] = []
    yield generations
    end(generations)


def begin(engine: Engine, prompt: str, begun: threading.Event) -> Started:
    """Submit a prompt; the event tells of its first token."""
    return engine.submit(prompt, on_token=lambda _: begun.set(), max_tokens=N_CTX // 2, **GREEDY)


def end(generations: list[Started]) -> None:
    """Cancel all, and wait until their slots are free."""
    for generation in generations:
        generation.cancel()
    for generation in generations:
        generation.result()
    generations.clear()


@pytest.mark.parametrize("count", [1, 8, 32])
def test_generate(benchmark: Benchmark, engine: Engine, count: int) -> None:
    """`Engine.generate` of so many prompts of 40 words, 64 tokens each."""
    results: list[Result] = benchmark.pedantic(
        engine.generate, (prompts(count),), {"max_tokens": 64, **GREEDY}, rounds=3, warmup_rounds=1
    )
    tokens = sum(result.usage.completion_tokens for result in results)
    assert tokens == 64 * count
    if benchmark.stats is not None:
        benchmark.extra_info["tokens_per_s"] = tokens / benchmark.stats.stats.median


def test_time_to_first_token(benchmark: Benchmark, engine: Engine) -> None:
    """From `stream` until its first delta; another prompt each round, so that none is cached."""
    fresh = iter(prompts(len(WORDS)))

    def first_delta(prompt: str) -> int:
        for delta in engine.stream(prompt, max_tokens=2, **GREEDY):
            return len(delta.token_ids)
        return 0

    n_tokens: int = benchmark.pedantic(
        first_delta, setup=lambda: ((next(fresh),), {}), rounds=10, warmup_rounds=1
    )
    assert n_tokens >= 1


def test_submit_latency(benchmark: Benchmark, engine: Engine, started: list[Started]) -> None:
    """`Engine.submit` of a prompt of 40 words: tokenized, checked, and handed to the engine."""
    fresh = iter(prompts(len(WORDS)))

    def next_prompt() -> tuple[tuple[str], dict[str, Any]]:
        end(started)
        return (next(fresh),), {}

    def submit(prompt: str) -> None:
        started.append(engine.submit(prompt, max_tokens=N_CTX // 2, **GREEDY))

    benchmark.pedantic(submit, setup=next_prompt, rounds=20, warmup_rounds=1)
    assert len(started) == 1


def test_cancel_latency(benchmark: Benchmark, engine: Engine) -> None:
    """From `cancel` of one of eight running generations until its end has been delivered."""

    def running() -> tuple[tuple[list[Started]], dict[str, Any]]:
        has_begun = [threading.Event() for _ in range(8)]
        generations = [begin(engine, *pair) for pair in zip(prompts(len(has_begun)), has_begun, strict=True)]
        for event in has_begun:
            assert event.wait(60)
        return (generations,), {}

    def cancel(generations: list[Started]) -> Result:
        generations[0].cancel()
        return generations.pop(0).result()

    cancelled: Result = benchmark.pedantic(cancel, setup=running, teardown=end, rounds=10, warmup_rounds=1)
    assert cancelled.finish_reason == "cancelled"


def test_event_throughput(benchmark: Benchmark, engine: Engine) -> None:
    """Tokens through callbacks: every slot busy, each delta delivered to a Python function."""

    def run() -> int:
        seen: list[int] = []
        generations = [
            engine.submit(
                prompt, on_token=lambda delta: seen.extend(delta.token_ids), max_tokens=64, **GREEDY
            )
            for prompt in prompts(N_SLOTS)
        ]
        for generation in generations:
            generation.result()
        return len(seen)

    tokens: int = benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    assert tokens == 64 * N_SLOTS
    if benchmark.stats is not None:
        benchmark.extra_info["tokens_per_s"] = tokens / benchmark.stats.stats.median
