"""Does delivering tokens to Python cost much, does Python slow the engine: `python -m benchmarks.delivery`.

Cost: every slot streams to an `on_token` callback; the CPU time of the thread that calls them, by tokens.
Where the engine is faster than that thread, several tokens of a request arrive as one delta, so the deltas
per token stand beside it.

Steps: the mean time of the engine's steps, from its own histogram, while nothing else runs, while another
process spins, and while a Python thread of the same process spins and so holds the GIL whenever it can. The
two spinners take the same of the machine; by what the steps are longer beside the thread is the GIL's doing.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from llamad import Engine, SamplingParams

from benchmarks.models import model_path
from benchmarks.prompts import one_token_prompts
from benchmarks.servers import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from llamad import Delta

T = TypeVar("T")
COST_LIMIT_US, STEP_LIMIT = 15.0, 1.05


@dataclass(frozen=True, slots=True)
class Load:
    """What the engine is kept busy with.

    Attributes:
        model: "smollm2", "tiny" or "nano".
        slots: all of them generate.
        max_tokens: of each.
        n_threads: compute threads.
    """

    model: str
    slots: int
    max_tokens: int
    n_threads: int

    @property
    def name(self) -> str:
        return f"{self.model}, {self.slots} x {self.max_tokens}"


class Cost(NamedTuple):
    """What one run of callbacks cost.

    Attributes:
        us_per_token: CPU time of the draining thread, in microseconds.
        deltas_per_token: below 1 where several tokens arrived at once.
    """

    us_per_token: float
    deltas_per_token: float


COST_LOADS = (
    Load("smollm2", 32, 64, usable_cores()),
    Load("tiny", 32, 256, 1),
    Load("nano", 32, 1024, 1),
)
# One compute thread: there should be a core for the spinner.
STEP_LOADS = (Load("smollm2", 8, 48, 1), Load("tiny", 32, 256, 1))


@contextlib.contextmanager
def _loaded(load: Load) -> Iterator[Engine]:
    with Engine(
        model_path(load.model), n_parallel=load.slots, n_ctx=load.max_tokens + 64, n_threads=load.n_threads
    ) as engine:
        _generate(engine, load, 8, lambda _: None)
        yield engine


def _generate(engine: Engine, load: Load, max_tokens: int, on_token: Callable[[Delta], object]) -> None:
    greedy = SamplingParams(temperature=0, ignore_eos=True, max_tokens=max_tokens)
    prompts = one_token_prompts(load.slots)
    for generation in [engine.submit(prompt, greedy, on_token=on_token) for prompt in prompts]:
        generation.result()


def _draining_clock(engine: Engine) -> int:
    """The CPU clock of the thread that calls back."""
    threads: list[int] = []
    engine.submit("hello", on_token=lambda _: threads.append(threading.get_ident()), max_tokens=1).result()
    return time.pthread_getcpuclockid(threads[0])


def cost(engine: Engine, load: Load) -> Cost:
    """Callbacks that do next to nothing, for every token of every slot."""
    clock, sizes = _draining_clock(engine), list[int]()
    before = time.clock_gettime(clock)
    _generate(engine, load, load.max_tokens, lambda delta: sizes.append(len(delta.token_ids)))
    spent = time.clock_gettime(clock) - before
    return Cost(1e6 * spent / sum(sizes), len(sizes) / sum(sizes))


@contextlib.contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextlib.contextmanager
def _spinning_process() -> Iterator[None]:
    spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        spinner.kill()
        spinner.wait()


@contextlib.contextmanager
def _spinning_thread() -> Iterator[None]:
    stopped = False

    def spin() -> None:
        while not stopped:
            pass

    spinner = threading.Thread(target=spin, daemon=True)
    spinner.start()
    try:
        yield
    finally:
        stopped = True
        spinner.join()


BESIDE: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "nothing": _nothing,
    "a process": _spinning_process,
    "a Python thread": _spinning_thread,
}


def mean_step_ms(engine: Engine, load: Load) -> float:
    """Mean time of the steps that one run of the load takes."""
    before = engine.stats()["histograms"]["step_s"]
    _generate(engine, load, load.max_tokens, lambda _: None)
    after = engine.stats()["histograms"]["step_s"]
    (_, counts_before, sum_before), (_, counts_after, sum_after) = before, after
    seconds: float = sum_after - sum_before
    steps: int = sum(counts_after) - sum(counts_before)
    return 1e3 * seconds / steps


def _cost_table(rounds: int) -> tuple[list[str], bool]:
    lines = ["| callbacks | µs per token | in single rounds | deltas per token | target | met |"]
    lines.append("| --- | --: | --: | --: | --: | --: |")
    all_met = True
    for load in COST_LOADS:
        with _loaded(load) as engine:
            costs = [_said(f"{load.name} · callbacks", cost(engine, load)) for _ in range(rounds)]
        times = sorted(one.us_per_token for one in costs)
        met = median(times) <= COST_LIMIT_US
        all_met &= met
        lines.append(
            f"| {load.name} | {median(times):.1f} | {times[0]:.1f} to {times[-1]:.1f} | "
            f"{median(one.deltas_per_token for one in costs):.2f} | ≤ {COST_LIMIT_US:.0f} | {_yes(met)} |"
        )
    return lines, all_met


def _step_table(rounds: int) -> tuple[list[str], bool]:
    titles = " | ".join(f"{name} spins, ms" for name in BESIDE)
    lines = [f"| mean step | {titles} | thread by process | in single rounds | target | met |"]
    lines.append(f"| --- |{' --: |' * (len(BESIDE) + 4)}")
    all_met = True
    for load in STEP_LOADS:
        found: dict[str, list[float]] = {name: [] for name in BESIDE}
        with _loaded(load) as engine:
            for number in range(rounds):
                for name in list(BESIDE)[:: 1 if number % 2 == 0 else -1]:
                    with BESIDE[name]():
                        found[name].append(_said(f"{load.name} · {name} spins", mean_step_ms(engine, load)))
        _, process, thread = found.values()
        quotients = sorted(ours / theirs for ours, theirs in zip(thread, process, strict=True))
        quotient = median(thread) / median(process)
        met = quotient <= STEP_LIMIT
        all_met &= met
        means = " | ".join(f"{median(times):.2f}" for times in found.values())
        lines.append(
            f"| {load.name} | {means} | {quotient:.2f} | {quotients[0]:.2f} to {quotients[-1]:.2f} | "
            f"≤ {STEP_LIMIT} | {_yes(met)} |"
        )
    return lines, all_met


def _said(what: str, figure: T) -> T:
    print(f"{what}: {figure}", file=sys.stderr, flush=True)
    return figure


def _yes(met: bool) -> str:
    return "yes" if met else "**no**"


def main() -> int:
    """Measure and print both tables; exit 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.delivery",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default: %(default)s)")
    parser.add_argument("--only", choices=("cost", "steps"), help="one table (default: both)")
    arguments = parser.parse_args()
    tables = {"cost": _cost_table, "steps": _step_table}
    met = []
    for name, table in tables.items():
        if arguments.only in {None, name}:
            lines, all_met = table(arguments.rounds)
            print("\n".join([*lines, ""]), flush=True)
            met.append(all_met)
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
