"""`ModelEntry`: what the list of models says of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from .metadata import ModelMetadata

ModelState = Literal["unloaded", "queued", "loading", "loaded", "unloading", "failed"]
"""`queued`: requests wait for it, and it for memory. `failed`: the last attempt to load it did; the next
request tries again."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One line of the list of models.

    Attributes:
        id: the name by which requests ask for it.
        path: the file that is loaded; of a split model, the first part.
        size_bytes: of all its files.
        created: Unix time of the newest file's last change, in seconds.
        state: whether it is loaded.
        metadata: what the file says of the model; None where it cannot be read, or has not been yet.
        progress: how much is loaded, from 0 to 1, while it is.
        error: why the last load failed; None where it did not.
        memory_bytes: what it takes, as estimated when it was loaded; None unless it holds memory.
        pinned: whether it stays once it is loaded.
        aliases: further names.
    """

    id: str
    path: Path
    size_bytes: int
    created: int
    state: ModelState
    metadata: ModelMetadata | None = None
    progress: float | None = None
    error: str | None = None
    memory_bytes: int | None = None
    pinned: bool = False
    aliases: tuple[str, ...] = ()
