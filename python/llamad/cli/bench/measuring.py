"""`Bench`: the two comparisons of a benchmark, of thread counts and of stream counts."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from ..model import load_engine
from .advice import advise_slots, advise_threads
from .figures import Row
from .plan import fits, memory_cost, work_for
from .rounds import in_rounds
from .workload import OutOfTimeError, Workload, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from ..._engine import ModelInfo
    from ...engine import Engine
    from ...models.memory import Budget
    from ...options import EngineOptions
    from .advice import Advice
    from .figures import Sample

_THREADS_SHARE = 0.4
"""Of the time, for the comparison of thread counts."""

_SOME_STREAMS = 8
"""Streams at which thread counts are compared, beside one."""

_REST_S = 0.15
"""Between samples of different engines: one that rests for 100 ms gives its compute threads back."""

_WARM_UP = Workload(prompt_tokens=32, new_tokens=8)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user wants to know.

    Attributes:
        seconds: for all measurements; loading comes on top.
        streams: numbers of requests at once, ascending.
        threads: numbers of threads to compare, ascending; one alone is not compared.
        most: how long prompts and answers are where there is time for it.
        max_itl_s: longest time between two tokens that is acceptable.
    """

    seconds: float
    streams: Sequence[int]
    threads: Sequence[int]
    most: Workload
    max_itl_s: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows that were measured in turns.

    Attributes:
        work: what each stream did.
        rows: what came out.
    """

    work: Workload
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Findings:
    """What came out.

    Attributes:
        model: what was measured.
        threads: the comparison of thread counts; None where there was none, or no time for it.
        streams: the comparison of stream counts, with the threads that are advised.
        advice: what to set.
    """

    model: ModelInfo
    threads: Comparison | None
    streams: Comparison
    advice: Sequence[Advice]


class Bench:
    """Loads engines of one model and compares them.

    Args:
        path: the model.
        options: of its engines, but for what is compared.
        asked: what is compared.
        tell: called with what is being done, for people.
    """

    def __init__(self, path: Path, options: EngineOptions, asked: Asked, tell: Callable[[str], None]) -> None:
        self._path = path
        self._asked = asked
        self._tell = tell
        self._seeds = count()
        self._last: Engine | None = None
        work = asked.most
        self._options: EngineOptions = options | {
            "n_parallel": max(asked.streams),
            # No longer than needed: room that nobody uses makes a slot no slower.
            "n_ctx": work.prompt_tokens + work.new_tokens + 8,
            "prefix_cache_mib": 0,
            "prefix_cache_dir": "",
        }

    def run(self, budget: Budget) -> Findings:
        """Measure; takes the time that was asked for, and what loading takes.

        Args:
            budget: of memory; without room for an engine of each thread count, these are not compared.

        Raises:
            OutOfTimeError: not even one stream was done in time.
            ModelError: the model cannot be loaded.
        """
        asked = self._asked
        threads = list(asked.threads)
        if not fits(memory_cost(self._path, self._options, budget), budget, times=len(threads)):
            threads = threads[-1:]
        comparison, advice = None, []
        n_decode = n_prefill = threads[-1]
        spent_s = 0.0
        if len(threads) > 1:
            comparison, spent_s = self._compare_threads(threads)
        if comparison is not None:
            advice = advise_threads(comparison.rows)
            n_decode, n_prefill = advice[0].value, advice[1].value
        with self._load(n_decode, n_prefill) as engine:
            streams = self._compare_streams(engine, asked.seconds - spent_s, n_decode)
            slots = advise_slots(streams.rows, asked.max_itl_s)
            return Findings(engine.info, comparison, streams, [slots, *advice])

    def _compare_threads(self, threads: Sequence[int]) -> tuple[Comparison | None, float]:
        """Return the comparison, None where its time was too short, and how long it took, loading aside."""
        with ExitStack() as stack:
            engines = {n: stack.enter_context(self._load(n, n)) for n in threads}
            started = time.perf_counter()
            seconds = _THREADS_SHARE * self._asked.seconds
            try:
                comparison = self._between(engines, seconds, started + seconds)
            except OutOfTimeError:
                comparison = None
            return comparison, time.perf_counter() - started

    def _between(self, engines: dict[int, Engine], seconds: float, deadline: float) -> Comparison:
        streams = sorted({1, max(n for n in self._asked.streams if n <= _SOME_STREAMS)})
        trial = self._warm_up(engines.values(), deadline)
        work = work_for(seconds, streams * len(engines), trial, self._asked.most)

        def measure(case: tuple[int, int], deadline: float) -> Sample:
            self._tell(f"{case[1]} threads, {case[0]} streams")
            return self._sample(engines[case[1]], case[0], work, deadline)

        # Engines take turns as often as they can.
        cases = [(n_streams, n_threads) for n_streams in streams for n_threads in engines]
        samples = in_rounds(cases, measure, deadline)
        rows = [Row.of(samples[case], case[1]) for case in cases if case in samples]
        return Comparison(work, _whole(rows, engines))

    def _compare_streams(self, engine: Engine, seconds: float, n_threads: int) -> Comparison:
        deadline = time.perf_counter() + seconds
        trial = self._warm_up([engine], deadline)
        work = work_for(seconds, self._asked.streams, trial, self._asked.most)

        def measure(n_streams: int, deadline: float) -> Sample:
            self._tell(f"{n_streams} streams")
            return self._sample(engine, n_streams, work, deadline)

        samples = in_rounds(self._asked.streams, measure, deadline)
        if not samples:
            raise OutOfTimeError("not even the fewest streams were done in time; give more --seconds")
        return Comparison(work, [Row.of(taken, n_threads) for taken in samples.values()])

    def _load(self, n_threads: int, n_threads_batch: int) -> Engine:
        return load_engine(
            self._path, self._options | {"n_threads": n_threads, "n_threads_batch": n_threads_batch}
        )

    def _warm_up(self, engines: Iterable[Engine], deadline: float) -> Sample:
        """Let each engine compute once; return the slowest sample.

        Raises:
            OutOfTimeError: the deadline has passed.
        """
        self._tell("warming up")
        work = _shorter(_WARM_UP, self._asked.most)
        trials = [self._sample(engine, 1, work, deadline) for engine in engines]
        return min(trials, key=lambda trial: trial.decode_tok_s)

    def _sample(self, engine: Engine, streams: int, work: Workload, deadline: float) -> Sample:
        if self._last is not engine:
            time.sleep(_REST_S)
        self._last = engine
        return sample(engine, streams, work, seed=next(self._seeds), deadline=deadline)


def _shorter(one: Workload, other: Workload) -> Workload:
    return Workload(min(one.prompt_tokens, other.prompt_tokens), min(one.new_tokens, other.new_tokens))


def _whole(rows: Sequence[Row], threads: Collection[int]) -> list[Row]:
    """Leave out numbers of streams that were not measured with each number of threads.

    Raises:
        OutOfTimeError: none was.
    """
    measured = {n: {row.threads for row in rows if row.streams == n} for n in {row.streams for row in rows}}
    whole = [row for row in rows if measured[row.streams] == set(threads)]
    if not whole:
        raise OutOfTimeError("no number of streams was measured with each number of threads")
    return whole
