"""Why a model cannot be had, in words that may be told to anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamad.errors import LlamadError, LoadFailedError, MemoryBudgetError

from .memory import HOST, TOTAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .catalogue import Definition
    from .residency import Cost

_POOLS = {HOST: "memory", TOTAL: "memory"}


def load_failed(definition: Definition, error: Exception) -> LoadFailedError:
    """Return what a failed load is told as; of paths, only the names of the model's own files are left."""
    reason = str(error) if isinstance(error, LlamadError) else f"{type(error).__name__}: {error}"
    for path in (*definition.spec.paths, *(path for path, _ in definition.table.lora_adapters)):
        reason = reason.replace(str(path), path.name)
    failed = LoadFailedError(f"model {definition.id!r} could not be loaded: {reason}")
    failed.__cause__ = error
    return failed


def too_large(
    model_id: str, cost: Cost, capacity: Cost, left: Cost, pinned: Sequence[str]
) -> MemoryBudgetError:
    """Return why a model never fits.

    Args:
        model_id: the model.
        cost: what it needs.
        capacity: what all models may take.
        left: what the pinned ones leave of it; less than the cost in some pool.
        pinned: their ids.
    """
    pool = next(name for name, size in cost.items() if size > left.get(name, size))
    what = _POOLS.get(pool, f"memory of {pool}")
    needed, budget = _gib(cost[pool]), _gib(capacity[pool])
    message = f"model {model_id!r} needs {needed} of {what}, and the budget is {budget}"
    if left[pool] < capacity[pool]:
        message += f", of which {', '.join(pinned)}, which must stay, leave {_gib(max(0, left[pool]))}"
    if pool not in _POOLS:
        message += '; n_gpu_layers "auto" puts no more layers there than fit'
    return MemoryBudgetError(message)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB ({size} bytes)"
