"""How the server's process runs."""

from __future__ import annotations

from dataclasses import dataclass

from ..allocator import ALLOCATORS
from . import kinds
from .kinds import setting

_GROUP = "process"


@dataclass(frozen=True)
class ProcessSettings:
    """How the server's process runs."""

    allocator: str = setting(
        _GROUP,
        kinds.choice(*ALLOCATORS),
        "memory allocator: system, or jemalloc or mimalloc where its library is installed",
        default="system",
    )
