"""How a model computes."""

from __future__ import annotations

from dataclasses import dataclass

from . import kinds, quantities
from .kinds import setting

_GROUP = "engine"
SPLIT_MODES = ("none", "layer", "row", "tensor")


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
    n_gpu_layers: int | str = setting(
        _GROUP,
        kinds.integer_or("auto", -1),
        "layers to put on GPUs; auto puts as many as fit, -1 all, and 0 uses no GPU",
        default="auto",
        aliases=("-ngl", "--gpu-layers"),
    )
    split_mode: str = setting(
        _GROUP,
        kinds.choice(*SPLIT_MODES),
        "how several GPUs share a model: " + ", ".join(SPLIT_MODES),
        default="layer",
        aliases=("-sm",),
    )
    tensor_split: tuple[float, ...] = setting(
        _GROUP,
        quantities.shares(),
        'share of each GPU, like "3,1"; without it, by free memory',
        default=(),
        aliases=("-ts",),
    )
    main_gpu: int = setting(
        _GROUP,
        kinds.integer(0),
        "the GPU to use with --split-mode none, counted from 0",
        default=0,
        aliases=("-mg",),
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
        "time between two tokens of a streamed answer while prompts are computed",
        default=90,
        unit="ms",
    )
    flash_attn: str = setting(
        _GROUP,
        kinds.choice("auto", "on", "off"),
        "flash attention: auto, on, off",
        default="auto",
        aliases=("-fa",),
    )
    backend_sampling: str = setting(
        _GROUP,
        kinds.choice("auto", "on", "off"),
        "find the likeliest tokens where the logits are computed: auto (on a GPU), on, off",
        default="auto",
        aliases=("-bs",),
    )
    decode_padding: str = setting(
        _GROUP,
        kinds.choice("auto", "on", "off"),
        "keep the shape of decode batches with rows of idle slots: auto (all layers on GPUs), on, off",
        default="auto",
    )
