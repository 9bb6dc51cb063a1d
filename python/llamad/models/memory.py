"""How much memory there is for models, and how much one of them needs.

Memory comes in pools: "host" is the machine's, and each GPU is one by its name ("CUDA0"). With a budget of
the user's there is "total" in place of "host": it bounds the machine's and the GPUs' memory together.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from .residency import total

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .residency import Cost

HOST, TOTAL = "host", "total"
_CPU = "CPU"
_SHARE = 0.9
"""Of what is free that models may take: requests and the server itself need some."""

_ENGINE_BYTES = 24 << 20
"""What an engine takes beside what llama.cpp allocates for it: vocabulary, samplers, threads, buffers."""

_CACHE_SHARE, _MOST_CACHE_BYTES = 4, 8 << 30


class DeviceMemory(TypedDict):
    """What a model will take of one device, in bytes.

    Attributes:
        device: its name.
        total: of the device.
        free: of the device.
        usable: what of that models may take, where it is a GPU.
        layers: how many of the model's lie there.
        weights: of the tensors.
        context: of the KV cache.
        compute: of buffers.
    """

    device: str
    total: int
    free: int
    usable: int
    layers: int
    weights: int
    context: int
    compute: int


class DeviceLayers(TypedDict):
    """The part of a loaded model that lies on one device.

    Attributes:
        name: of the device.
        layers: how many, with the output layer as the last.
        bytes: of weights, KV cache and buffers.
    """

    name: str
    layers: int
    bytes: int


class Placement(TypedDict, total=False):
    """Where a model's layers will lie: the options of its engine that say so, once they are decided."""

    n_gpu_layers: int
    tensor_split: Sequence[float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model will take.

    Attributes:
        memory: of each device.
        placement: for which options that holds.
        room: what of each GPU it might have taken, in bytes; the placement depends on it.
    """

    memory: Sequence[DeviceMemory]
    placement: Placement = field(default_factory=Placement)
    room: Mapping[str, int] = field(default_factory=dict)


class Budget:
    """How much memory the loaded models may take.

    A GPU's share is known from the first estimate that mentions it, when nothing is loaded there yet.

    Args:
        limit_bytes: of all pools together; 0 takes what the machine, or this process's cgroup, has free.
    """

    def __init__(self, limit_bytes: int = 0) -> None:
        self._automatic = limit_bytes == 0
        self.capacity = {self.pool: limit_bytes or int(_SHARE * available_bytes())}

    @property
    def pool(self) -> str:
        """Where memory of the machine is counted."""
        return HOST if self._automatic else TOTAL

    def bytes_of(self, cost: Cost) -> int:
        """Return what a model takes in all."""
        return sum(cost.values()) if self._automatic else cost[TOTAL]

    def cost(self, estimate: Sequence[DeviceMemory], cache_bytes: int) -> dict[str, int]:
        """Return what a model takes of each pool.

        Args:
            estimate: of its weights, context and compute buffers.
            cache_bytes: of its prefix cache.
        """
        cost = {self.pool: cache_bytes + _ENGINE_BYTES}
        for one in estimate:
            size = one["weights"] + one["context"] + one["compute"]
            if one["device"] != _CPU:
                self.capacity.setdefault(one["device"], one["usable"])
                cost[one["device"]] = size
            if one["device"] == _CPU or not self._automatic:
                cost[self.pool] += size
        return cost

    def room(self, pinned: Iterable[Cost]) -> dict[str, int]:
        """Return what of each GPU that has been mentioned models that must stay leave to another."""
        taken = total(pinned)
        return {
            pool: max(0, size - taken.get(pool, 0))
            for pool, size in self.capacity.items()
            if pool not in (HOST, TOTAL)
        }


def layers_by_device(memory: Iterable[Mapping[str, Any]]) -> list[DeviceLayers]:
    """Return where the layers of a loaded model are, the processor last.

    Args:
        memory: what it takes of each device, as its engine's `info` says.
    """
    found: list[DeviceLayers] = [
        {
            "name": one["device"],
            "layers": one["layers"],
            "bytes": one["weights"] + one["context"] + one["compute"],
        }
        for one in memory
        if one["layers"] > 0
    ]
    return sorted(found, key=lambda one: one["name"] == _CPU)


def cache_mib(left_bytes: int, others: Iterable[int]) -> int:
    """Return the size of an automatic prefix cache, in MiB: a quarter of what is left, at most 8 GiB.

    Room for the largest of the other models that still fits is left first: no cache is worth a model that
    could have stayed.

    Args:
        left_bytes: what the budget has left beside the model and the others.
        others: what each model that is not loaded would take.
    """
    kept = max((size for size in others if size <= left_bytes), default=0)
    return min(max(0, left_bytes - kept) // _CACHE_SHARE, _MOST_CACHE_BYTES) >> 20


def available_bytes(root: Path = Path("/")) -> int:
    """Return the memory that this process may still take: of the machine, and of its cgroups.

    Args:
        root: where `proc` and `sys` are.
    """
    try:
        meminfo = (root / "proc/meminfo").read_text()
        available = int(meminfo.split("MemAvailable:")[1].split()[0]) << 10
    except (OSError, IndexError):  # no Linux
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(0, min([available, *_left_by_cgroups(root)]))


def _left_by_cgroups(root: Path) -> list[int]:
    """Return what the process's cgroup, and each that it is in, leaves; version 2, then 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folder = mount / path.lstrip("/")
        # In a container the path may be the host's, and the files lie at the mount itself.
        folders = {mount, *(one for one in (folder, *folder.parents) if one.is_relative_to(mount))}
        left += [room for one in folders if (room := _left_by(one, *names)) is not None]
    return left


def _left_by(folder: Path, limit_name: str, usage_name: str, reclaimable_name: str) -> int | None:
    """Return what one cgroup leaves; None where it sets no limit. Page cache can be taken back."""
    try:
        limit = int((folder / limit_name).read_text())
        used = int((folder / usage_name).read_text())
        stat = dict(line.split(maxsplit=1) for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return limit - used + min(used, int(stat.get(reclaimable_name, "0")))
