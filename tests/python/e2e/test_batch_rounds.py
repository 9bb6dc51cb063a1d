"""Jobs of a `Batch` that take several rounds, as tools do."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from llamad import Batch, Engine, Result, request_options
from llamad.entries import AHEAD
from llamad.jobs import CompletionJob, completion_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(tiny_model, n_parallel=4, n_ctx=512, n_threads=1) as engine:
        yield engine


class Countdown(CompletionJob):
    """Asks again until its prompt counts 0; the functions that tools are do no more."""

    def follow_up(self, done: Result) -> Any:
        threads.append(threading.current_thread())
        left = int(str(self.prompt))
        if left == 13:
            raise ZeroDivisionError("unlucky")
        return replace(self, prompt=str(left - 1)) if left else None


threads: list[threading.Thread] = []


def countdown(engine: Engine, prompts: list[str], max_tokens: int = 1) -> Batch[Result]:
    overrides = {"max_tokens": max_tokens}
    jobs: Any = completion_jobs(prompts, options=request_options.DEFAULT, overrides=overrides)
    rounds: Any = (Countdown(job.prompt, job.params, job.options, job.output, job.origin) for job in jobs)
    return engine._batch(rounds, len(prompts))


def test_rounds_that_follow_leave_others_room(engine: Engine) -> None:
    most, over = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.001):
            most = max(most, engine.stats()["waiting"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert len(countdown(engine, ["3"] * 300, max_tokens=32).results()) == 300
    finally:
        over.set()
        watcher.join()
    assert 0 < most <= AHEAD + engine.info.n_parallel


def test_rounds_follow_on_the_thread_that_reads(engine: Engine) -> None:
    threads.clear()
    n_before = engine.stats()["finished_length"]
    results = countdown(engine, [str(index % 4) for index in range(200)]).results()
    assert len(results) == 200
    assert engine.stats()["finished_length"] - n_before == 50 * (1 + 2 + 3 + 4)
    assert set(threads) == {threading.current_thread()}


def test_a_function_that_raises_fails_its_own(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError, match="unlucky"):
        countdown(engine, ["1", "14", "2"]).results()
    results = countdown(engine, ["1", "14", "2"]).results(return_exceptions=True)
    assert [type(result) for result in results] == [Result, ZeroDivisionError, Result]
