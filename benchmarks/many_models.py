"""Six models where memory holds two: llamad's turns against an LRU that takes requests as they come.

    python -m benchmarks.many_models

Clients ask for models at random, each for its next one when it has the answer to the last. Both sides are the
same manager, engines and budget. The other one's policy is what a plain LRU does: requests are let in in the
order of their arrival, one after the other; one whose model is not there has the least recently used one
unloaded as soon as that is idle, and its own loaded. Of six models two are there, so about two of three
requests pay for a load. llamad lets requests for what is there overtake, and serves all that wait for a model
at once.

The six are one file under six names, so that a load finds it in the page cache: on a disk they differ more.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import random
import statistics
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llamad.choices import Choices
from llamad.models.loader import EngineLoader
from llamad.models.manager import ModelManager
from llamad.models.residency import Cost, Plan, Policy, Resident, Wanted, fits, less
from llamad.request_options import RequestOptions
from llamad.sampling import SamplingParams
from llamad.settings import Settings

from benchmarks.figures import percentile
from benchmarks.models import model_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_N_MODELS, _N_THERE = 6, 2


@dataclass(frozen=True, slots=True)
class Workload:
    """Who asks for what.

    Attributes:
        clients: how many, each with one request at a time.
        requests: of all together.
        max_tokens: of each answer.
        seed: of the choice of models.
    """

    clients: int
    requests: int
    max_tokens: int
    seed: int

    def orders(self) -> list[list[str]]:
        """Return the models that each client asks for, in order."""
        chance = random.Random(self.seed)
        names = [f"m{chance.randrange(_N_MODELS)}" for _ in range(self.requests)]
        return [names[first :: self.clients] for first in range(self.clients)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a side made of it.

    Attributes:
        wall_s: until the last answer.
        loads: how many models were loaded.
        p50_s: time from a request to its answer, median; and its 95th percentile.
        p95_s: see above.
    """

    wall_s: float
    loads: int
    p50_s: float
    p95_s: float


class LeastRecentlyUsed(Policy):
    """Loads what is asked for; what has been idle for longest goes, as soon as it is."""

    def plan(
        self,
        residents: Sequence[Resident],
        wanted: Sequence[Wanted],
        capacity: Cost,
        now: float,  # noqa: ARG002
    ) -> Plan:
        """Decide; there is one that is wanted, since the door lets in one at a time."""
        free = less(capacity, *(one.cost for one in residents))
        if not wanted or fits(wanted[0].cost, free):
            loading = wanted[:1]
            left = less(free, *(one.cost for one in loading))
            return Plan(tuple(one.id for one in loading), {}, {}, frozenset(), None, left)
        idle = [one for one in residents if one.state == "loaded" and not one.busy]
        going = any(one.state == "unloading" for one in residents)
        victims = [] if going else sorted(idle, key=lambda one: one.idle_since)[:1]
        return Plan((), {one.id: "room" for one in victims}, {}, frozenset(), None, free)


async def run(model: Path, workload: Workload, *, in_order: bool) -> Outcome:
    """Run the workload once, in turns or in the order of arrival."""
    latencies: list[float] = []
    door = asyncio.Lock()

    async def client(manager: ModelManager, names: list[str]) -> None:
        for name in names:
            began = time.perf_counter()
            if in_order:
                async with door:
                    lease = await manager.lease(name, "generate")
            else:
                lease = await manager.lease(name, "generate")
            with lease:
                params = SamplingParams(max_tokens=workload.max_tokens, temperature=0, ignore_eos=True)
                prompt, options = f"The capital of {name} is", RequestOptions()
                prepared = await lease.engine.prepare(prompt, params, stream=False, n=1, options=options)
                await Choices(lease.engine.submit_choices(prepared)).wait()
            latencies.append(time.perf_counter() - began)

    async with _manager(model, LeastRecentlyUsed() if in_order else Policy()) as manager:
        began = time.perf_counter()
        await asyncio.gather(*(client(manager, names) for names in workload.orders()))
        wall_s = time.perf_counter() - began
        loads = manager.statistics().counters.loads.total()
    latencies.sort()
    return Outcome(wall_s, loads, percentile(latencies, 50), percentile(latencies, 95))


@asynccontextmanager
async def _manager(model: Path, policy: Policy) -> AsyncIterator[ModelManager]:
    """Serve one file under six names, with memory for two."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as tables:
        for index in range(_N_MODELS):
            tables.write(f'[models.m{index}]\nfile = "{model}"\n')
        tables.flush()
        settings = Settings(
            model_directory=model.parent,
            models_config=(Path(tables.name),),
            n_ctx=512,
            prefix_cache_mib=0,
            threads=1,
        )
        settings = dataclasses.replace(settings, memory_budget=int((_N_THERE + 0.5) * await _cost(settings)))
        manager = ModelManager(settings, EngineLoader(), policy=policy)
        try:
            yield manager
        finally:
            await manager.close()


async def _cost(settings: Settings) -> int:
    """Return the bytes that one of the models takes."""
    manager = ModelManager(settings, EngineLoader())
    try:
        return (await manager.load("m0")).memory_bytes or 0
    finally:
        await manager.close()


def _line(name: str, outcome: Outcome, base: Outcome) -> str:
    return (
        f"{name:<22}{outcome.wall_s:8.1f} s {base.wall_s / outcome.wall_s:7.2f}x {outcome.loads:7d} loads"
        f"{outcome.p50_s:9.2f} s p50 {outcome.p95_s:8.2f} s p95"
    )


def main() -> None:
    """Print both sides, alternating, and llamad's medians as ratios."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many_models", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--model", default="smollm2", help="smollm2, tiny or nano (default: smollm2)")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    model = model_path(given.model).resolve()
    ratios = []
    for seed in range(given.rounds):
        workload = Workload(given.clients, given.requests, given.max_tokens, seed)
        plain = asyncio.run(run(model, workload, in_order=True))
        turns = asyncio.run(run(model, workload, in_order=False))
        print(_line("LRU, as they come", plain, plain))
        print(_line("llamad, in turns", turns, plain), flush=True)
        ratios.append(plain.wall_s / turns.wall_s)
    print(f"llamad is {statistics.median(ratios):.2f} times as fast (median of {given.rounds})")


if __name__ == "__main__":
    main()
