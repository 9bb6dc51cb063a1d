"""What a benchmark varies, and how much it asks for, on this machine and in the time there is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from ... import _engine
from ...errors import ModelLoadError
from ...models.memory import Budget
from .workload import Workload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ...models.memory import DeviceMemory
    from ...options import EngineOptions
    from .figures import Sample

_SHORTEST_PROMPT = 16
_ROUNDS = 3
"""How many rounds there should be time for: a median of fewer is none."""


def cores() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0))


def thread_counts(n_cores: int) -> list[int]:
    """Return the thread counts worth comparing: all cores, half of them, and a quarter."""
    return sorted({n_cores, max(1, n_cores // 2), max(1, n_cores // 4)})


def memory_cost(path: Path, options: EngineOptions, budget: Budget) -> dict[str, int]:
    """Return what an engine takes of each of the budget's pools, without a prefix cache."""
    config = _engine.EngineConfig(model_path=str(path), **options)
    return budget.cost(cast("list[DeviceMemory]", _engine.estimate_memory(config)), 0)


def fits(cost: Mapping[str, int], budget: Budget, times: int = 1) -> bool:
    """Whether so many engines of this cost find room."""
    return all(times * size <= budget.capacity[pool] for pool, size in cost.items())


def streams_that_fit(counts: Sequence[int], path: Path, options: EngineOptions) -> list[int]:
    """Return those of the stream counts whose slots find room, with the context that they are to have.

    Raises:
        ModelError: the file cannot be read.
        ModelLoadError: not even the fewest do.
    """
    budget = Budget()
    fitting = [n for n in counts if fits(memory_cost(path, options | {"n_parallel": n}, budget), budget)]
    if not fitting:
        raise ModelLoadError(
            f"{path.name} does not fit into memory with {min(counts)} slots of {options['n_ctx']} tokens"
        )
    return fitting


def work_for(seconds: float, streams: Sequence[int], trial: Sample, most: Workload) -> Workload:
    """Return the longest prompts and answers that leave time for a few rounds, at most `most`.

    Args:
        seconds: that all rounds may take.
        streams: of the samples of one round.
        trial: what one stream did; several are taken to be no faster together.
        most: what is asked for where time does not matter.
    """
    work = most
    while work.prompt_tokens > _SHORTEST_PROMPT:
        prefill_s = sum(streams) * work.prompt_tokens / trial.prefill_tok_s
        decode_s = sum(streams) * work.new_tokens / trial.decode_tok_s
        if _ROUNDS * (prefill_s + decode_s) <= seconds:
            break
        work = Workload(max(_SHORTEST_PROMPT, work.prompt_tokens // 2), max(2, work.new_tokens // 2))
    return work
