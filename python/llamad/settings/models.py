"""Which models are served, and when they are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import kinds
from .kinds import setting

_GROUP = "models"


@dataclass(frozen=True)
class ModelSettings:
    """Which models are served, and when they are loaded."""

    model_directory: Path = setting(  # noqa: RUF009 - it makes a field
        _GROUP,
        kinds.directory(),
        "serve every GGUF file in this directory and below it",
        default=Path("models"),
    )
    preload_model: tuple[str, ...] = setting(
        _GROUP, kinds.names(), "load this model at startup, not on its first request; repeatable", default=()
    )
    load_timeout: float = setting(
        _GROUP,
        kinds.seconds(zero=False),
        "how long a request waits for its model to load",
        default=600.0,
        unit="s",
    )
