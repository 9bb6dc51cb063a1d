"""How a model computes."""

from __future__ import annotations

from dataclasses import dataclass

from . import kinds
from .kinds import setting

_GROUP = "engine"


@dataclass(frozen=True)
class EngineSettings:
    """How a model computes."""

    n_parallel: int = setting(
        _GROUP,
        kinds.integer(1, 256),
        "slots of a model, that is requests that run at once",
        default=4,
        aliases=("-np", "--parallel"),
    )
    threads: int = setting(
        _GROUP, kinds.integer(0, 512), "compute threads; 0 takes all cores", default=0, aliases=("-t",)
    )
    threads_batch: int = setting(
        _GROUP,
        kinds.integer(0, 512),
        "compute threads for prompts; 0 takes --threads",
        default=0,
        aliases=("-tb",),
    )
    n_gpu_layers: int = setting(
        _GROUP,
        kinds.integer(-1),
        "layers to put on the GPU; -1 puts all",
        default=-1,
        aliases=("-ngl", "--gpu-layers"),
    )
    n_batch: int = setting(
        _GROUP,
        kinds.integer(1, 1 << 20),
        "most in one call of llama.cpp",
        default=2048,
        unit="tokens",
        aliases=("-b", "--batch-size"),
    )
    n_ubatch: int = setting(
        _GROUP,
        kinds.integer(1, 1 << 20),
        "most computed at once",
        default=512,
        unit="tokens",
        aliases=("-ub", "--ubatch-size"),
    )
    itl_target_ms: int = setting(
        _GROUP,
        kinds.integer(1),
        "time between two tokens of a request while prompts are computed",
        default=400,
        unit="ms",
    )
    flash_attn: str = setting(
        _GROUP,
        kinds.choice("auto", "on", "off"),
        "flash attention: auto, on, off",
        default="auto",
        aliases=("-fa",),
    )
