"""Which models are served, and when they are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import kinds, quantities
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
    memory_budget: int = setting(
        _GROUP,
        quantities.size(),
        "most memory that all loaded models may take together, in bytes or like 6GiB; 0 takes nine tenths of "
        "what the machine (or the cgroup) and each GPU has free, and leaves a GPU no more than 1 GiB",
        default=0,
    )
    keep_alive: float = setting(
        _GROUP,
        quantities.duration(),
        "unload a model that nobody has used for so long: seconds, or like 5m; 0 at once, negative never",
        default=-1.0,
    )
    models_config: tuple[Path, ...] = setting(
        _GROUP,
        quantities.files(),
        'TOML file with a table [models."NAME"] for each model that needs settings of its own; repeatable. '
        "models.toml in the model directory is read in any case",
        default=(),
    )
